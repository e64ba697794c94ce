//! Limits for clients, and the responses to requests beyond them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use threadlab::gateway::GatewayConfig;

use crate::harness::{Client, Gateway, Response, SOON, Server, eventually, threads};

against_all!(
    a_slow_head_gets_408,
    a_silent_client_is_disconnected,
    time_before_the_first_byte_counts_against_the_client,
    a_slow_body_gets_408,
    an_unfinished_body_gets_408,
    time_in_the_app_does_not_count_against_the_client,
    an_unread_body_does_not_reset_the_connection,
    a_head_above_the_limit_gets_431,
    a_large_head_in_pieces_gets_431,
    more_than_100_fields_get_431,
    a_target_above_the_limit_gets_414,
    a_client_that_does_not_read_is_disconnected,
    a_client_that_reads_little_now_and_then_is_disconnected,
    a_large_response_may_take_longer_than_its_parts,
    the_backlog_limits_waiting_connections,
    a_taken_port_is_an_error,
    a_shared_port_of_another_server_is_an_error,
);

const READ_TIMEOUT: Duration = Duration::from_millis(300);

/// Starts a server with a short read timeout.
fn short_timeout(gateway: Gateway) -> Server {
    Server::with(gateway, |config| config.limits.read_timeout = READ_TIMEOUT)
}

/// Receives a response that must arrive neither before the deadline nor long after it.
fn timed(start: Instant, receive: impl FnOnce() -> Response) -> Response {
    let response = receive();
    assert!(start.elapsed() >= READ_TIMEOUT, "too early: {response:?}");
    assert!(start.elapsed() < SOON / 2, "too late: {response:?}");
    response
}

fn a_slow_head_gets_408(gateway: Gateway) {
    let server = short_timeout(gateway);
    let start = Instant::now();
    let mut client = server.connect();
    client.trickle("GET / HTTP/1.1\r\n", Duration::from_millis(40));
    timed(start, || client.receive()).assert_problem(408);
    client.assert_closed();
    drop(client);
    assert_eq!(server.get("/").status, 200);
}

fn a_silent_client_is_disconnected(gateway: Gateway) {
    let server = short_timeout(gateway);
    let start = Instant::now();
    let mut client = server.connect();
    client.assert_closed();
    assert!(start.elapsed() >= READ_TIMEOUT);
    assert_eq!(server.get("/").status, 200);
}

fn time_before_the_first_byte_counts_against_the_client(gateway: Gateway) {
    const TIMEOUT: Duration = Duration::from_millis(1000);
    const SILENCE: Duration = Duration::from_millis(800);
    let server = Server::with(gateway, |config| config.limits.read_timeout = TIMEOUT);
    let start = Instant::now();
    let mut client = server.connect();
    std::thread::sleep(SILENCE);
    client.send("GET / HTTP/1.1\r\n");
    client.receive().assert_problem(408);
    let elapsed = start.elapsed();
    assert!(elapsed >= TIMEOUT, "after {elapsed:?}");
    assert!(elapsed < SILENCE + TIMEOUT, "after {elapsed:?}");
}

fn a_slow_body_gets_408(gateway: Gateway) {
    let server = short_timeout(gateway);
    let mut client = server.connect();
    let start = Instant::now();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n");
    client.trickle("0123456789abcdef", Duration::from_millis(40));
    let response = timed(start, || client.receive());
    assert_eq!(response.status, 408);
    assert_eq!(response.header("connection"), Some("close"));
    client.assert_closed();
    drop(client);
    assert_eq!(server.get("/").status, 200);
}

fn an_unfinished_body_gets_408(gateway: Gateway) {
    let server = short_timeout(gateway);
    let mut client = server.connect();
    let start = Instant::now();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel");
    let response = timed(start, || client.receive());
    assert_eq!(response.status, 408);
    client.assert_closed();
}

fn time_in_the_app_does_not_count_against_the_client(gateway: Gateway) {
    // On a busy machine, the client itself does not send for a while.
    let server = Server::with(gateway, |config| {
        config.limits.read_timeout = Duration::from_millis(1000);
    });
    let mut client = server.connect();
    // More than the kernel and hyper buffer between client and app.
    let body = "x".repeat(16 * 1024 * 1024);
    client.send(format!(
        "POST /late?ms=1500 HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    ));
    let response = client.receive();
    assert_eq!((response.status, response.body.len()), (200, body.len()));
}

/// Only the time spent waiting for the client counts.
#[test]
fn time_between_two_reads_does_not_count_against_the_client() {
    let server = Server::with(Gateway::Asynchronous, |config| {
        config.limits.read_timeout = Duration::from_millis(700);
    });
    let mut client = server.connect();
    client.send("POST /hesitate?ms=900 HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n");
    std::thread::sleep(Duration::from_millis(100));
    client.send("hello");
    std::thread::sleep(Duration::from_millis(1100));
    client.send("world");
    assert_eq!(client.receive().text(), "world");
}

/// The client continues to send after the error response, and still reads it.
fn an_unread_body_does_not_reset_the_connection(gateway: Gateway) {
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

fn a_head_above_the_limit_gets_431(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.limits.max_head_bytes = 4096);
    let request = |size: usize| {
        format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "y".repeat(size - 32)
        )
    };
    let mut client = server.connect();
    client.send(request(4096));
    assert_eq!(client.receive().status, 200);
    let mut client = server.connect();
    client.send(request(4097));
    let response = client.receive();
    response.assert_problem(431);
    assert!(response.text().contains("4096"), "{response:?}");
    client.assert_closed();
}

/// The client sends the whole head before it reads the response.
fn a_large_head_in_pieces_gets_431(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nx: ");
    for _ in 0..12 {
        client.send([b'y'; 4096]);
        std::thread::sleep(Duration::from_millis(20));
    }
    client.receive().assert_problem(431);
    client.assert_closed();
    drop(client);
    assert_eq!(server.get("/").status, 200);
}

fn more_than_100_fields_get_431(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101)));
    client.receive().assert_problem(431);
}

fn a_target_above_the_limit_gets_414(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.limits.max_head_bytes = 100_000);
    let mut client = server.connect();
    client.send(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)));
    client.receive().assert_problem(414);
}

fn a_client_that_does_not_read_is_disconnected(gateway: Gateway) {
    let server = Server::with(gateway, |config| {
        config.limits.write_timeout = Duration::from_millis(200);
    });
    let mut client = server.connect();
    client.get("/stream?mib=64");
    eventually("the response given up", || server.seen.dropped() == 1);
    assert_eq!(server.get("/").status, 200);
}

fn a_client_that_reads_little_now_and_then_is_disconnected(gateway: Gateway) {
    let server = Server::with(gateway, |config| {
        config.limits.write_timeout = Duration::from_millis(400);
    });
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The kernel takes more of the response whenever the client has read 30 KB, in a quarter of a second.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let mut socket = std::net::TcpStream::from(socket);
    let request = b"GET /stream?mib=64 HTTP/1.1\r\nhost: test\r\n\r\n";
    socket.write_all(request).unwrap();
    let start = Instant::now();
    while server.seen.dropped() == 0 {
        assert!(start.elapsed() < SOON, "the connection is still open");
        // It fails when the connection has just been closed.
        let _ = socket.read(&mut [0; 1024]);
        std::thread::sleep(Duration::from_millis(8));
    }
    assert_eq!(server.get("/").status, 200);
}

fn a_large_response_may_take_longer_than_its_parts(gateway: Gateway) {
    const TIMEOUT: Duration = Duration::from_millis(600);
    const MIB: usize = 24;
    let server = Server::with(gateway, |config| config.limits.write_timeout = TIMEOUT);
    let mut client = server.connect();
    client.get(&format!("/stream?mib={MIB}"));
    let start = Instant::now();
    client.receive_head();
    // The framing of the chunks comes on top.
    for _ in 0..MIB {
        client.take(1024 * 1024);
        std::thread::sleep(Duration::from_millis(40));
    }
    assert!(start.elapsed() > TIMEOUT);
}

/// The kernel does not accept further connections: `connect` does not return.
fn the_backlog_limits_waiting_connections(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.backlog = 2);
    assert_eq!(server.running.accept_queue().unwrap().limit, 2);
    // Its thread cannot accept meanwhile.
    let mut busy = server.connect();
    busy.get("/block?ms=800");
    eventually("the request", || server.seen.begun() == 1);
    let address = server.address();
    let opened: Vec<_> = (0..6)
        .filter_map(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok()
        })
        .collect();
    // Linux lets one more connection wait than the backlog.
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

fn a_taken_port_is_an_error(gateway: Gateway) {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut config = GatewayConfig::new(taken.local_addr().unwrap());
    for count in [1, 3] {
        config.threads = threads(count);
        let error = gateway.bind(&config).unwrap_err().to_string();
        assert!(error.contains(&config.listen.to_string()), "{error}");
    }
}

/// The threads of an asynchronous gateway share their port only with each other.
fn a_shared_port_of_another_server_is_an_error(gateway: Gateway) {
    let other = Server::with(Gateway::Asynchronous, |config| config.threads = threads(2));
    let mut config = GatewayConfig::new(other.address());
    config.threads = threads(2);
    let error = gateway.bind(&config).unwrap_err().to_string();
    assert!(error.contains(&config.listen.to_string()), "{error}");
}

#[test]
fn an_idle_connection_closes_after_the_idle_timeout() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::with(gateway, |config| {
            config.limits.idle_timeout = Duration::from_millis(500);
            config.limits.read_timeout = Duration::from_millis(150);
        });
        let mut client = server.connect();
        for _ in 0..3 {
            client.get("/");
            assert_eq!(client.receive().status, 200);
            std::thread::sleep(Duration::from_millis(250));
        }
        let start = Instant::now();
        client.get("/");
        assert_eq!(client.receive().status, 200);
        client.assert_closed();
        let idle = start.elapsed();
        assert!(idle >= Duration::from_millis(500), "after {idle:?}");
        assert!(idle < SOON / 2, "after {idle:?}");
    }
}

/// Its deadline starts with the first byte, not with the end of the previous response.
#[test]
fn a_slow_head_on_a_reused_connection_gets_408() {
    for gateway in Gateway::THAT_KEEP {
        let server = short_timeout(gateway);
        let mut client = server.connect();
        client.get("/");
        assert_eq!(client.receive().status, 200);
        std::thread::sleep(READ_TIMEOUT * 2);
        let start = Instant::now();
        client.trickle("GET / HTTP/1.1\r\n", Duration::from_millis(40));
        timed(start, || client.receive()).assert_problem(408);
        client.assert_closed();
    }
}
