//! A stand-in for one of the article's programs, which is written in Python as they are.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A stand-in, ended on drop.
pub(crate) struct StandIn {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl StandIn {
    /// Starts the stand-in for "flask", "fastapi", "gunicorn" or "gthread".
    pub(crate) fn start(name: &str) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", include_str!("stand_in.py"), name])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("python3: {error}. Run make test, or install Python"));
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("the stand-in prints its port");
        Self {
            child,
            address: ([127, 0, 0, 1], port).into(),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
