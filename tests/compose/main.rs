//! The stack of `docker-compose.yml`, brought up for real: nginx, both servers, Prometheus and the
//! nginx exporter, each test with a stack of its own.
//!
//! Grafana takes part where its image is present; where it is not, the tests say so.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test may fail, and nothing outside of it can reach in"
)]

mod confinement;
#[path = "../common/dashboards.rs"]
mod dashboards;
mod experiment;
mod failover;
mod http;
mod prometheus;
mod replicas;
mod stack;

use std::thread;
use std::time::{Duration, Instant};

use http::get;
use stack::Stack;

/// How long a request waits in the experiment, in seconds.
const WAIT: u64 = 5;

#[test]
#[ignore = "needs Docker: run make test"]
fn configurations_are_accepted() {
    let stack = Stack::named("config");
    let check = |service, program, arguments: &[&str]| {
        let run = ["run", "--rm", "--no-deps", "-T", "--entrypoint", program];
        stack.compose(&[&run[..], &[service], arguments].concat());
    };
    check("nginx", "nginx", &["-t"]);
    for command in [
        "promtool check config /etc/prometheus/prometheus.yml",
        "promtool check rules /etc/prometheus/rules/*.yml",
        // Its scratch files need a place in the read-only container.
        "TMPDIR=/prometheus promtool test rules /etc/prometheus/tests/*.yml",
    ] {
        check("prometheus", "sh", &["-c", command]);
    }
}

/// How long `GET /dummy` takes when `GET /` was asked for `waits` times half a second before.
fn dummy_behind_waits(front: &str, server: &str, waits: usize) -> Duration {
    let wait = format!("{front}/{server}/?seconds={WAIT}");
    let ask = |_| {
        let wait = wait.clone();
        thread::spawn(move || get(&wait).status)
    };
    let waiting: Vec<_> = (0..waits).map(ask).collect();
    thread::sleep(Duration::from_millis(500));

    let asked = Instant::now();
    assert_eq!(get(&format!("{front}/{server}/dummy")).status, 200);
    let took = asked.elapsed();
    for status in waiting {
        assert_eq!(status.join().unwrap(), 200);
    }
    took
}

/// Fails the test unless it comes true within 30 s.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "never came true: {what}"
        );
        thread::sleep(Duration::from_millis(300));
    }
}
