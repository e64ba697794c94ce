//! A lab or a server as a process of its own, ended when dropped, and what it answers.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The program as a process.
pub struct Process {
    child: Child,
    /// The addresses that it announced, in their order.
    addresses: Vec<String>,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the program and waits until it has announced `addresses` addresses.
    pub fn start(arguments: &[&str], addresses: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_threadlab"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut found = Vec::new();
        while found.len() < addresses {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).unwrap();
            assert!(
                read > 0,
                "it ended before it announced {addresses} addresses: {found:?}"
            );
            found.extend(line.split("http://").skip(1).map(|rest| {
                let end = rest.find(|c: char| c.is_whitespace() || c == '/' || c == ',');
                rest[..end.unwrap_or(rest.len())].to_owned()
            }));
        }
        Self {
            child,
            addresses: found,
            _stdout: stdout,
        }
    }

    /// Sends a signal to it.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end and returns its exit status; `None` if it lives on.
    pub fn exit_code(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status.code().unwrap_or(-1));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lab in one process, on free ports.
pub struct Lab {
    pub process: Process,
    pub front: String,
    pub sync: String,
    pub r#async: String,
    pub metrics: String,
}

impl Lab {
    pub fn start(arguments: &[&str]) -> Self {
        let ports = ["--front", "--sync", "--async", "--metrics"];
        let mut all: Vec<&str> = ports
            .iter()
            .flat_map(|flag| [flag, "127.0.0.1:0"])
            .collect();
        all.extend(arguments);
        let process = Process::start(&all, 6);
        // The front stands twice more, before each server.
        let [front, _, sync, _, r#async, metrics] =
            <[String; 6]>::try_from(process.addresses.clone()).unwrap();
        Self {
            process,
            front,
            sync,
            r#async,
            metrics,
        }
    }

    /// What it exports now.
    pub fn scrape(&self) -> Scrape {
        Scrape::of(&self.metrics)
    }
}

/// One server, on free ports.
pub struct Server {
    pub process: Process,
    pub http: String,
    pub metrics: String,
}

impl Server {
    pub fn start(kind: &str, arguments: &[&str]) -> Self {
        let mut all = vec![
            "serve",
            kind,
            "--listen",
            "127.0.0.1:0",
            "--metrics",
            "127.0.0.1:0",
        ];
        all.extend(arguments);
        let process = Process::start(&all, 2);
        let [http, metrics] = <[String; 2]>::try_from(process.addresses.clone()).unwrap();
        Self {
            process,
            http,
            metrics,
        }
    }
}

/// An answer as text.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// `GET path`, on a connection of its own.
pub fn get(address: &str, path: &str) -> Answer {
    try_get(address, path).unwrap()
}

/// As [`get`]; `None` if there is no whole answer.
pub fn try_get(address: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // Version 1.0, so that the answer is not chunked and its end is the connection's.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// The samples of one scrape, by series as it stands in the text format.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub samples: BTreeMap<String, f64>,
    /// How long the answer took.
    pub took: Duration,
}

pub const STATES: [&str; 5] = ["running", "runnable", "blocked", "awaiting", "idle"];

impl Scrape {
    pub fn of(metrics: &str) -> Self {
        let started = Instant::now();
        let answer = get(metrics, "/metrics");
        let took = started.elapsed();
        assert_eq!(answer.status, 200);
        let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        };
        Self {
            samples: lines.map(sample).collect(),
            took,
        }
    }

    pub fn value(&self, series: &str) -> f64 {
        *self
            .samples
            .get(series)
            .unwrap_or_else(|| panic!("no series {series}"))
    }

    /// Seconds that thread 0 of a server spent in a state.
    pub fn state(&self, server: &str, state: &str) -> f64 {
        self.value(&format!(
            r#"thread_state_seconds_total{{server="{server}",thread="0",state="{state}"}}"#
        ))
    }

    /// Seconds since thread 0 of a server began.
    pub fn wall(&self, server: &str) -> f64 {
        self.value(&format!(
            r#"thread_wall_seconds_total{{server="{server}",thread="0"}}"#
        ))
    }

    /// The share of the wall time since `earlier` that thread 0 of a server spent in a state.
    pub fn share(&self, earlier: &Self, server: &str, state: &str) -> f64 {
        let spent = self.state(server, state) - earlier.state(server, state);
        spent / (self.wall(server) - earlier.wall(server))
    }
}
