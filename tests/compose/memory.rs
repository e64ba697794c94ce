//! Memory that nginx needs, measured per worker and per waiting request, against the container's limit.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::eventually;
use crate::quiet::not_verified;
use crate::stack::{Stack, run};

const WAITS: usize = 10_000;
const MIB: f64 = 1_048_576.0;

/// Memory of a container in use, and its limit, in bytes.
fn memory(container: &str) -> (f64, f64) {
    let format = ["stats", "--no-stream", "--format", "{{.MemUsage}}"];
    let usage = run("docker", &[&format[..], &[container]].concat());
    let bytes = |text: &str| {
        let unit = text
            .trim()
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let factor = match unit {
            "KiB" => 1024.0,
            "MiB" => MIB,
            "GiB" => 1024.0 * MIB,
            _ => panic!("{usage}"),
        };
        text.trim().trim_end_matches(unit).parse::<f64>().unwrap() * factor
    };
    let (used, limit) = usage.split_once('/').unwrap();
    (bytes(used), bytes(limit))
}

/// A number and not `auto`, with which a machine with many CPUs would need more memory than the limit.
fn workers() -> f64 {
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/nginx/nginx.conf")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("worker_processes"));
    line.unwrap().trim().trim_end_matches(';').parse().unwrap()
}

pub fn ten_thousand_waits_fit_into_the_memory_of_nginx(stack: &Stack) {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, Rlimit { ..files }).unwrap();
    if files
        .maximum
        .is_some_and(|maximum| maximum < WAITS as u64 + 1000)
    {
        return not_verified(
            "the memory of nginx: too few open files for 10,000 clients".to_owned(),
        );
    }
    // The tests before this one leave it with more memory than it starts with.
    stack.compose(&["restart", "nginx"]);
    stack.compose(&["up", "--detach", "--wait", "--no-deps", "nginx"]);
    let nginx = &stack.containers(&["nginx"])[0]["Id"];
    let nginx = nginx.as_str().unwrap();
    let (idle, limit) = memory(nginx);

    // To nginx itself: docker-proxy, which carries the published port, would run out of open files first.
    let address = format!("{}:8080", stack.addresses("nginx", "web")[0]);
    let request = b"GET /async/?seconds=60 HTTP/1.1\r\nHost: threadlab\r\n\r\n";
    let wait = |_| {
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(request).unwrap();
        client
    };
    let waiting: Vec<TcpStream> = (0..WAITS).map(wait).collect();
    let connections = || {
        let status = stack.fetch_from("nginx", "http://127.0.0.1:8081/nginx_status");
        let status = status.unwrap();
        let first = status.lines().next().unwrap();
        first
            .trim_start_matches("Active connections: ")
            .trim()
            .parse::<usize>()
            .unwrap()
    };
    eventually("nginx has all requests", || connections() >= WAITS);
    let (loaded, _) = memory(nginx);
    drop(waiting);
    eventually("nginx has closed the connections", || connections() < 100);

    let (per_worker, per_wait) = (idle / workers(), (loaded - idle) / WAITS as f64);
    let figures = format!(
        "{:.0} MiB idle ({:.1} per worker), {:.0} of {:.0} MiB with {WAITS} waits ({:.1} KiB each)",
        idle / MIB,
        per_worker / MIB,
        loaded / MIB,
        limit / MIB,
        per_wait / 1024.0
    );
    eprintln!("nginx: {figures}");
    // The bounds of docs/reliability.md, which computes the limit with them.
    assert!(
        per_worker < 12.0 * MIB && per_wait < 24.0 * 1024.0,
        "{figures}"
    );
    assert!(loaded < 0.6 * limit, "{figures}");
}
