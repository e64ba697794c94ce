//! The metrics port against clients that send or read nothing, pages of strangers, and a lack of file
//! descriptors.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common {
    pub(crate) mod lab;
}
#[path = "../crates/thread-states/tests/common/quiet.rs"]
mod quiet;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::lab::{Lab, Server, get};
use quiet::on_quiet_machine;
use socket2::{Domain, Socket, Type};

/// A Prometheus server waits this long by default in this lab.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns the status of the response to these lines.
fn status(address: &str, head: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let timeout = Some(Duration::from_secs(10));
    stream.set_read_timeout(timeout).unwrap();
    let head = head.replace('|', "\r\n") + "\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response[9..12].parse().unwrap()
}

fn responds_within(limit: Duration, metrics: &str, path: &str) {
    let start = Instant::now();
    assert_eq!(get(metrics, path).status, 200);
    let took = start.elapsed();
    assert!(took < limit, "{path} took {took:?}");
}

#[test]
fn clients_that_never_read_cannot_keep_others_out() {
    // The server is busy with their requests at first.
    on_quiet_machine(|| {
        let server = Server::start("sync", &[]);
        let address: SocketAddr = server.metrics.parse().unwrap();
        let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40);
        let unread: Vec<Socket> = (0..300)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_recv_buffer_size(2048).unwrap();
                socket.connect(&address.into()).unwrap();
                socket.set_nonblocking(true).unwrap();
                // The server stops reading when it cannot write.
                let _ = (&socket).write(requests.as_bytes());
                socket
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        for path in ["/healthz", "/readyz", "/metrics"] {
            responds_within(5 * SCRAPE_TIMEOUT, &server.metrics, path);
        }
        drop(unread);
    });
}

#[test]
fn silent_clients_cannot_keep_others_out() {
    let server = Server::start("sync", &[]);
    let connect = |_| TcpStream::connect(&server.metrics).unwrap();
    let silent: Vec<_> = (0..256).map(connect).collect();
    thread::sleep(Duration::from_millis(600));
    responds_within(SCRAPE_TIMEOUT, &server.metrics, "/metrics");
    drop(silent);
}

#[test]
fn pages_of_strangers_are_rejected() {
    let server = Server::start("sync", &["--metrics-names", "lab.example"]);
    let metrics = &server.metrics;
    for (line, allowed) in [
        ("GET /metrics", 200),
        ("GET /threads", 200),
        ("POST /experiments/article", 204),
    ] {
        let with = |fields: &str| status(metrics, &format!("{line} HTTP/1.1|{fields}"));
        assert_eq!(with("Host: localhost"), allowed, "{line}");
        assert_eq!(with("Host: lab.example:9100"), allowed, "{line}");
        assert_eq!(with("Host: evil.example"), 421, "{line}");
        let origin = "Host: localhost|Origin: http://evil.example";
        assert_eq!(with(origin), 403, "{line}");
        assert_eq!(with("Host: localhost|Origin: null"), 403, "{line}");
        assert_eq!(with("Accept: */*"), 400, "{line}");
    }
}

/// Every port of the lab in turn gets more connections than the process has file descriptors.
#[test]
fn metrics_and_health_respond_when_descriptors_are_used_up() {
    for port in 0..4 {
        let lab = Lab::start(&[]);
        let limit = Command::new("prlimit")
            .args(["--nofile=64:64", "--pid", &lab.process.pid().to_string()])
            .status();
        assert!(limit.unwrap().success());
        let attacked = [&lab.front, &lab.sync, &lab.r#async, &lab.metrics][port];
        let address: SocketAddr = attacked.parse().unwrap();
        let connections: Vec<Socket> = (0..120)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _ = socket.connect(&address.into());
                socket
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        for path in ["/healthz", "/readyz", "/metrics"] {
            responds_within(3 * SCRAPE_TIMEOUT, &lab.metrics, path);
        }
        drop(connections);
    }
}
