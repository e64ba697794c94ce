//! A lab or a server as a process, killed when dropped, and its responses and metrics.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::HeaderMap;

/// The program as a child process.
pub struct Process {
    child: Child,
    /// The addresses that it printed, in order.
    addresses: Vec<String>,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the program and waits until it has printed this many addresses.
    pub fn start(arguments: &[&str], addresses: usize) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadlab"));
        Self::of(command.args(arguments), addresses)
    }

    fn of(command: &mut Command, addresses: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut found = Vec::new();
        while found.len() < addresses {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).unwrap();
            assert!(
                read > 0,
                "exited before it printed {addresses} addresses: {found:?}"
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

    /// Sends a signal to the process.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to exit and returns its exit code, -1 after a signal; `None` if it still runs.
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

    /// Returns the address that it printed at this place.
    pub fn address(&self, index: usize) -> &str {
        &self.addresses[index]
    }

    /// The process ID.
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

/// The whole lab in one process, on free ports.
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
        // The front's address is printed again before each server's.
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

    /// Scrapes the metrics.
    pub fn scrape(&self) -> Scrape {
        Scrape::of(&self.metrics)
    }
}

/// One server as a process, on free ports.
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
        Self::of(Process::start(&all, 2))
    }

    /// Starts it with a limit on open files.
    pub fn with_few_files(limit: u32, kind: &str, arguments: &str) -> Self {
        let ports = "--listen 127.0.0.1:0 --metrics 127.0.0.1:0";
        let program = env!("CARGO_BIN_EXE_threadlab");
        let line = format!("ulimit -n {limit}; exec {program} serve {kind} {ports} {arguments}");
        Self::of(Process::of(Command::new("sh").args(["-c", &line]), 2))
    }

    fn of(process: Process) -> Self {
        let [http, metrics] = <[String; 2]>::try_from(process.addresses.clone()).unwrap();
        Self {
            process,
            http,
            metrics,
        }
    }
}

/// A response whose body is text.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends `GET path` on a new connection, and panics if there is no complete response.
pub fn get(address: &str, path: &str) -> Response {
    request(address, path).unwrap_or_else(|error| panic!("GET {path} from {address}: {error}"))
}

/// Sends `GET path` on a new connection. Returns `None` if there is no complete response.
pub fn try_get(address: &str, path: &str) -> Option<Response> {
    request(address, path).ok()
}

fn request(address: &str, path: &str) -> Result<Response, ureq::Error> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut response = agent.get(format!("http://{address}{path}")).call()?;
    Ok(Response {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string()?,
    })
}

/// The samples of one scrape, by series as written in the text format.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub samples: BTreeMap<String, f64>,
    /// Duration of the request.
    pub took: Duration,
}

pub const STATES: [&str; 5] = ["running", "runnable", "blocked", "awaiting", "idle"];

impl Scrape {
    pub fn of(metrics: &str) -> Self {
        let started = Instant::now();
        let response = get(metrics, "/metrics");
        let took = started.elapsed();
        assert_eq!(response.status, 200);
        let lines = response.body.lines().filter(|line| !line.starts_with('#'));
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

    /// Seconds that thread 0 of a server has spent in a state.
    pub fn state(&self, server: &str, state: &str) -> f64 {
        self.value(&format!(
            r#"thread_state_seconds_total{{server="{server}",thread="0",state="{state}"}}"#
        ))
    }

    /// Seconds since thread 0 of a server started.
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
