//! What a client may send and how long it may take, and that it hears so when it does too much.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use threadlab::gateway::Config;

use crate::harness::{Answer, Client, Gateway, SOON, Server, eventually, threads};

against_both!(
    slow_head,
    silent_client,
    slow_body,
    body_that_stops,
    slow_app_is_not_a_slow_client,
    unread_body_is_no_reset,
    huge_head,
    huge_head_in_pieces,
    too_many_headers,
    too_long_target,
    client_that_does_not_read,
    backlog_is_bounded,
    taken_port,
    taken_port_that_would_be_shared,
);

const READ_TIMEOUT: Duration = Duration::from_millis(600);

/// A server that gives a client 600 ms.
fn impatient(gateway: Gateway) -> Server {
    Server::with(gateway, |config| config.limits.read_timeout = READ_TIMEOUT)
}

/// Takes an answer that must come neither before the deadline nor long after it.
fn timed(start: Instant, receive: impl FnOnce() -> Answer) -> Answer {
    let answer = receive();
    assert!(start.elapsed() >= READ_TIMEOUT, "too early: {answer:?}");
    assert!(start.elapsed() < SOON / 2, "too late: {answer:?}");
    answer
}

fn slow_head(gateway: Gateway) {
    let server = impatient(gateway);
    let start = Instant::now();
    let mut client = server.connect();
    client.trickle("GET / HTTP/1.1\r\n", Duration::from_millis(100));
    timed(start, || client.receive()).assert_problem(408);
    client.assert_closed();
    assert_eq!(server.get("/").status, 200);
}

fn silent_client(gateway: Gateway) {
    let server = impatient(gateway);
    let start = Instant::now();
    let mut client = server.connect();
    client.assert_closed();
    assert!(start.elapsed() >= READ_TIMEOUT);
    assert_eq!(server.get("/").status, 200);
}

fn slow_body(gateway: Gateway) {
    let server = impatient(gateway);
    let mut client = server.connect();
    let start = Instant::now();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n");
    client.trickle("0123456789abcdef", Duration::from_millis(100));
    let answer = timed(start, || client.receive());
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("connection"), Some("close"));
    client.assert_closed();
    assert_eq!(server.get("/").status, 200);
}

fn body_that_stops(gateway: Gateway) {
    let server = impatient(gateway);
    let mut client = server.connect();
    let start = Instant::now();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel");
    let answer = timed(start, || client.receive());
    assert_eq!(answer.status, 408);
    client.assert_closed();
}

fn slow_app_is_not_a_slow_client(gateway: Gateway) {
    let server = impatient(gateway);
    let mut client = server.connect();
    // More than the kernel and hyper would buffer between client and app.
    let body = "x".repeat(16 * 1024 * 1024);
    client.send(format!(
        "POST /late?ms=1500 HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    ));
    let answer = client.receive();
    assert_eq!((answer.status, answer.body.len()), (200, body.len()));
}

/// Only waiting for the client counts, not what the app does between two parts of a body.
#[test]
fn slow_app_between_two_parts_of_a_body() {
    let server = Server::with(Gateway::Asynchronous, |config| {
        config.limits.read_timeout = Duration::from_secs(2);
    });
    let mut client = server.connect();
    client.send("POST /hesitate?ms=2500 HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n");
    std::thread::sleep(Duration::from_millis(100));
    client.send("hello");
    std::thread::sleep(Duration::from_millis(2900));
    client.send("world");
    assert_eq!(client.receive().text(), "world");
}

/// The client sends on while it is refused, and yet reads the refusal.
fn unread_body_is_no_reset(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("POST /ignore HTTP/1.1\r\nhost: test\r\ncontent-length: 400000\r\n\r\n");
    for _ in 0..4 {
        client.send([b'x'; 10_000]);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.receive().status, 413);
    client.assert_closed();
}

fn huge_head(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.limits.max_head_bytes = 4096);
    let request = |size: usize| format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(size - 23));
    let mut client = server.connect();
    client.send(request(4096));
    assert_eq!(client.receive().status, 200);
    let mut client = server.connect();
    client.send(request(4097));
    let answer = client.receive();
    answer.assert_problem(431);
    assert!(answer.text().contains("4096"), "{answer:?}");
    client.assert_closed();
}

/// Sent slowly and to the end before the answer is read.
fn huge_head_in_pieces(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nx: ");
    for _ in 0..12 {
        client.send([b'y'; 4096]);
        std::thread::sleep(Duration::from_millis(50));
    }
    client.receive().assert_problem(431);
    client.assert_closed();
    assert_eq!(server.get("/").status, 200);
}

fn too_many_headers(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101)));
    client.receive().assert_problem(431);
}

fn too_long_target(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.limits.max_head_bytes = 100_000);
    let mut client = server.connect();
    client.send(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)));
    client.receive().assert_problem(414);
}

fn client_that_does_not_read(gateway: Gateway) {
    let server = Server::with(gateway, |config| {
        config.limits.write_timeout = Duration::from_millis(500);
    });
    let mut client = server.connect();
    client.get("/stream?mib=64");
    eventually("the answer given up", || server.seen.dropped() == 1);
    assert_eq!(server.get("/").status, 200);
}

/// Further connections are not accepted by the kernel either: they do not even open.
fn backlog_is_bounded(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.backlog = 2);
    assert_eq!(server.running.accept_queue().unwrap().limit, 2);
    // Its thread is kept from accepting.
    let mut busy = server.connect();
    busy.get("/block?ms=1500");
    eventually("the request", || server.seen.begun() == 1);
    let address = server.address();
    let opened: Vec<_> = (0..6)
        .filter_map(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok()
        })
        .collect();
    // Linux lets one more wait than the limit says.
    assert_eq!(opened.len(), 3);
    assert_eq!(server.running.accept_queue().unwrap().length, 3);
    assert_eq!(busy.receive().status, 200);
    for waiting in opened {
        let mut client = Client::new(waiting);
        client.get("/");
        assert_eq!(client.receive().status, 200);
    }
    assert_eq!(server.running.accept_queue().unwrap().length, 0);
}

fn taken_port(gateway: Gateway) {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut config = Config::new(taken.local_addr().unwrap());
    for count in [1, 3] {
        config.threads = threads(count);
        let error = gateway.bind(&config).unwrap_err().to_string();
        assert!(error.contains(&config.listen.to_string()), "{error}");
    }
}

/// The asynchronous gateway's threads share their port, but with nobody else.
fn taken_port_that_would_be_shared(gateway: Gateway) {
    let other = Server::with(Gateway::Asynchronous, |config| config.threads = threads(2));
    let mut config = Config::new(other.address());
    config.threads = threads(2);
    let error = gateway.bind(&config).unwrap_err().to_string();
    assert!(error.contains(&config.listen.to_string()), "{error}");
}

#[test]
fn an_idle_connection_closes_after_its_time() {
    let server = Server::with(Gateway::Asynchronous, |config| {
        config.limits.idle_timeout = Duration::from_millis(900);
        config.limits.read_timeout = Duration::from_millis(300);
    });
    let mut client = server.connect();
    for _ in 0..3 {
        client.get("/");
        assert_eq!(client.receive().status, 200);
        std::thread::sleep(Duration::from_millis(450));
    }
    let start = Instant::now();
    client.get("/");
    assert_eq!(client.receive().status, 200);
    client.assert_closed();
    let idle = start.elapsed();
    assert!(idle >= Duration::from_millis(900), "after {idle:?}");
    assert!(idle < SOON / 2, "after {idle:?}");
}

/// Its deadline runs from the first byte, not from the end of the answer before it.
#[test]
fn slow_head_on_a_kept_connection() {
    let server = impatient(Gateway::Asynchronous);
    let mut client = server.connect();
    client.get("/");
    assert_eq!(client.receive().status, 200);
    std::thread::sleep(READ_TIMEOUT * 2);
    let start = Instant::now();
    client.trickle("GET / HTTP/1.1\r\n", Duration::from_millis(100));
    timed(start, || client.receive()).assert_problem(408);
    client.assert_closed();
}
