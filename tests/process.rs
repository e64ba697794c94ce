//! The program as a process: what it prints, how it ends, what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common {
    pub(crate) mod lab;
}

use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use common::lab::{Lab, Server, get, try_get};

fn threadlab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Both signals that a person or an orchestrator sends.
const SIGNALS: [(&str, i32); 2] = [("TERM", 143), ("INT", 130)];

#[test]
fn it_starts_within_seconds_and_answers_at_once() {
    let started = Instant::now();
    let lab = Lab::start(&[]);
    assert_eq!(get(&lab.front, "/async/dummy").status, 200);
    assert_eq!(get(&lab.front, "/sync/dummy").status, 200);
    assert_eq!(get(&lab.metrics, "/readyz").status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_signal_lets_requests_finish_and_ends_with_0() {
    for (signal, _) in SIGNALS {
        let mut lab = Lab::start(&[]);
        let (front, metrics) = (lab.front.clone(), lab.metrics.clone());
        thread::scope(|scope| {
            let ask = |path: &'static str| {
                let front = &front;
                scope.spawn(move || get(front, path))
            };
            let waiting = [ask("/sync/?seconds=2"), ask("/async/?seconds=2")];
            thread::sleep(Duration::from_millis(500));
            lab.process.signal(signal);
            thread::sleep(Duration::from_millis(300));
            assert_eq!(
                get(&metrics, "/readyz").status,
                503,
                "it is not ready while it ends"
            );
            assert_eq!(get(&metrics, "/healthz").status, 200, "but it lives");
            assert!(
                try_get(&front, "/async/dummy").is_none(),
                "nothing new is accepted"
            );
            for answer in waiting {
                assert_eq!(answer.join().unwrap().status, 200);
            }
        });
        assert_eq!(
            lab.process.exit_code(Duration::from_secs(5)),
            Some(0),
            "{signal}"
        );
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in SIGNALS {
        let mut server = Server::start("sync", &[]);
        let http = server.http.clone();
        let waiting = thread::spawn(move || try_get(&http, "/?seconds=60"));
        thread::sleep(Duration::from_millis(500));
        server.process.signal(signal);
        assert_eq!(
            server.process.exit_code(Duration::from_secs(1)),
            None,
            "one request waits"
        );
        server.process.signal(signal);
        assert_eq!(server.process.exit_code(Duration::from_secs(2)), Some(code));
        assert!(waiting.join().unwrap().is_none());
    }
}

#[test]
fn requests_that_outlast_the_grace_time_are_said() {
    for kind in ["sync", "async"] {
        let mut server = Server::start(kind, &["--grace", "0.5"]);
        let http = server.http.clone();
        let waiting = thread::spawn(move || try_get(&http, "/?seconds=60"));
        thread::sleep(Duration::from_millis(500));
        server.process.signal("TERM");
        assert_eq!(
            server.process.exit_code(Duration::from_secs(5)),
            Some(1),
            "{kind}"
        );
        assert!(waiting.join().unwrap().is_none());
    }
}

#[test]
fn a_taken_port_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    let up = ["--front", "--sync", "--async", "--metrics"];
    for flag in up {
        let mut arguments: Vec<&str> = up.iter().flat_map(|flag| [*flag, free]).collect();
        let at = arguments
            .iter()
            .position(|argument| *argument == flag)
            .unwrap();
        arguments[at + 1] = &address;
        let output = threadlab(&arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&address) && said.contains(flag),
            "{flag}: {said}"
        );
    }
    for kind in ["sync", "async"] {
        let arguments = [
            "serve",
            kind,
            "--listen",
            &address,
            "--metrics",
            free,
            "--threads",
            "2",
        ];
        let said = stderr(&threadlab(&arguments));
        assert!(
            said.contains(&address) && said.contains("--listen"),
            "{said}"
        );
    }
}

#[test]
fn a_system_that_gives_too_few_descriptors_is_a_plain_error() {
    // With fewer than these the runtime itself cannot begin.
    for limit in 10..40 {
        let ports = "--front 127.0.0.1:0 --sync 127.0.0.1:0 --async 127.0.0.1:0";
        let command = format!(
            "ulimit -n {limit}; exec {} {ports} --metrics 127.0.0.1:0 --threads 8",
            env!("CARGO_BIN_EXE_threadlab")
        );
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{limit}: {said}");
        assert!(said.contains("Too many open files"), "{limit}: {said}");
    }
}

#[test]
fn nobody_has_to_read_what_it_prints_and_a_signal_may_come_early() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(["serve", "async", "--listen", "127.0.0.1:0"])
        .args(["--metrics", "127.0.0.1:0"])
        .stdout(full)
        .spawn()
        .unwrap();
    let catches_term = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & 1 << (15 - 1) != 0
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while !catches_term() {
        assert!(Instant::now() < deadline, "it never catches SIGTERM");
        thread::sleep(Duration::from_micros(100));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn bad_flags_and_variables_are_refused_with_what_is_allowed() {
    let output = threadlab(&["serve", "sync", "--threads", "0"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("--threads") && said.contains("from 1 to 4096"),
        "{said}"
    );

    let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(["serve", "async"])
        .env("THREADLAB_BACKLOG", "many")
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(
        !output.status.success() && said.contains("many") && said.contains("--backlog"),
        "{said}"
    );
}

#[test]
fn variables_set_the_flags_of_every_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(["serve", "async", "--metrics", "127.0.0.1:0"])
        .env("THREADLAB_LISTEN", "203.0.113.1:1")
        .env("THREADLAB_FRONT", "127.0.0.1:0")
        .env("THREADLAB_THREADS", "2")
        .output()
        .unwrap();
    // An address that is not this machine's: the variable was read, and is named.
    let said = stderr(&output);
    assert!(
        said.contains("203.0.113.1:1") && said.contains("THREADLAB_LISTEN"),
        "{said}"
    );
}

#[test]
fn health_tells_by_its_exit_status() {
    let server = Server::start("async", &[]);
    let url = |address: &str, path: &str| format!("http://{address}{path}");
    let healthy = threadlab(&["health", &url(&server.metrics, "/readyz")]);
    assert_eq!(healthy.status.code(), Some(0));
    for (bad, word) in [
        (url(&server.metrics, "/nowhere"), "404"),
        (url("127.0.0.1:1", "/"), "cannot be reached"),
        ("https://127.0.0.1/".to_owned(), "http://"),
    ] {
        let output = threadlab(&["health", &bad]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(word), "{bad}: {said}");
    }
}

#[test]
fn requests_beyond_the_bound_are_told_to_come_back() {
    let server = Server::start("async", &["--max-in-flight", "2"]);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(get(&server.http, "/?seconds=2").status, 200));
        }
        thread::sleep(Duration::from_millis(700));
        let refused = get(&server.http, "/dummy");
        assert_eq!(refused.status, 503);
        assert_eq!(
            refused.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(refused.json()["detail"].as_str().unwrap().contains('2'));
    });
    assert_eq!(get(&server.http, "/dummy").status, 200);
}

#[test]
fn the_metrics_port_tells_what_the_threads_do() {
    let lab = Lab::start(&["--threads", "2"]);
    let servers = get(&lab.metrics, "/threads").json();
    let names: Vec<_> = servers
        .as_array()
        .unwrap()
        .iter()
        .map(|server| &server["server"])
        .collect();
    assert_eq!(names, ["sync", "async"]);
    for server in servers.as_array().unwrap() {
        assert_eq!(server["threads"].as_array().unwrap().len(), 2);
        assert_eq!(server["threads"][1]["thread"], "1");
        assert_eq!(server["threads"][1]["state"], "idle");
        assert!(server["threads"][1]["seconds"]["idle"].as_f64().unwrap() > 0.0);
        assert!(server["accept_queue"]["limit"].as_u64().unwrap() > 0);
    }
    let one = get(&lab.metrics, "/threads?server=async").json();
    assert_eq!(one.as_array().unwrap().len(), 1);
    for (path, status) in [
        ("/threads?server=other", 404),
        ("/threads/stream?server=other", 404),
        ("/threads?server=sync&server=async", 400),
        ("/nowhere", 404),
    ] {
        let refused = get(&lab.metrics, path);
        assert_eq!(refused.status, status, "{path}");
        assert_eq!(
            refused.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
    }
}

#[test]
fn server_timing_tells_waiting_with_a_thread_from_waiting_without() {
    let lab = Lab::start(&[]);
    for (server, waits) in [("sync", "block"), ("async", "await")] {
        let answer = get(&lab.front, &format!("/{server}/?seconds=0.5"));
        let header = answer.header("server-timing").unwrap();
        let milliseconds = |name: &str| -> f64 {
            let mut parts = header
                .split(", ")
                .filter_map(|part| part.split_once(";dur="));
            parts
                .find(|(found, _)| *found == name)
                .unwrap()
                .1
                .parse()
                .unwrap()
        };
        for name in ["queue", "run", "block", "await"] {
            let expected = if name == waits {
                490.0..2_000.0
            } else {
                0.0..250.0
            };
            assert!(
                expected.contains(&milliseconds(name)),
                "{server} {name}: {header}"
            );
        }
        assert_eq!(
            answer
                .head
                .to_ascii_lowercase()
                .matches("x-request-id:")
                .count(),
            1
        );
    }
}

#[test]
fn threads_bear_the_names_of_the_metrics() {
    let lab = Lab::start(&["--threads", "2"]);
    let names = || -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", lab.process.pid())).unwrap();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        tasks
            .filter_map(|task| Some(name(task.ok()?).ok()?.trim().to_owned()))
            .collect()
    };
    let expected = [
        "sync-0", "sync-1", "async-0", "async-1", "front", "exporter",
    ];
    let all = || {
        expected
            .iter()
            .all(|name| names().iter().any(|found| found == name))
    };
    // A thread takes its name when it first runs.
    let deadline = Instant::now() + Duration::from_secs(5);
    while !all() {
        assert!(Instant::now() < deadline, "{expected:?} in {:?}", names());
        thread::sleep(Duration::from_millis(10));
    }
}
