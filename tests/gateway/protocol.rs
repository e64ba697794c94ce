//! HTTP/1 on both gateways.

#[cfg(target_os = "linux")]
use std::io::Write;
use std::net::Shutdown;
#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::harness::{Gateway, SOON, Server, eventually};

against_all!(
    get,
    a_head_response_has_no_body,
    http_1_0_connections_close,
    a_body_with_a_length_arrives,
    a_chunked_body_arrives,
    a_wanted_body_gets_100_continue,
    an_unwanted_body_gets_no_100_continue,
    bodies_stream_in_both_directions,
    a_large_response_arrives,
    a_failed_response_body_is_not_completed,
    a_half_closed_connection_gets_a_response_or_closes,
    pipelined_requests_get_responses_in_order,
    an_early_second_request_does_not_reset_the_connection,
    a_response_does_not_wait_for_an_unwanted_body,
    upgrade_requests_are_ignored,
    http_1_0_keep_alive_works_if_the_connection_is_kept,
);

fn get(gateway: Gateway) {
    let response = Server::start(gateway).get("/");
    assert_eq!((response.status, response.text()), (200, "hello"));
    let close = (!gateway.keeps_connections()).then_some("close");
    assert_eq!(response.header("connection"), close);
}

fn a_head_response_has_no_body(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    let response = client.receive_head();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-length"), Some("5"));
    client.assert_closed();
}

fn http_1_0_connections_close(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.receive();
    assert!(
        response.head.starts_with("HTTP/1.0 200 OK\r\n"),
        "{response:?}"
    );
    assert_eq!(response.text(), "hello");
    client.assert_closed();
}

fn a_body_with_a_length_arrives(gateway: Gateway) {
    let server = Server::start(gateway);
    let body = "x".repeat(1024 * 1024);
    let mut client = server.connect();
    let length = body.len();
    client.send(format!(
        "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    let response = client.receive();
    assert_eq!(response.status, 200);
    assert!(response.body == body.as_bytes(), "the echo differs");
}

fn a_chunked_body_arrives(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n");
    client.send("7\r\n, world\r\n0\r\n\r\n");
    assert_eq!(client.receive().text(), "hello, world");
}

fn a_wanted_body_gets_100_continue(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    );
    // The client sends nothing before it gets this.
    assert_eq!(client.receive().status, 100);
    client.send("hello");
    assert_eq!(client.receive().text(), "hello");
}

fn an_unwanted_body_gets_no_100_continue(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(
        "POST /ignore HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    );
    let start = Instant::now();
    assert_eq!(client.receive().status, 413);
    client.assert_closed();
    assert!(start.elapsed() < SOON / 2, "waited for an unused body");
}

fn bodies_stream_in_both_directions(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("POST /mirror HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("5\r\nfirst\r\n");
    assert_eq!(client.receive_head().status, 200);
    // The first part of the response arrives before the second part of the request is sent.
    assert_eq!(client.take(10), b"5\r\nfirst\r\n");
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(client.take(16), b"6\r\nsecond\r\n0\r\n\r\n");
}

fn a_large_response_arrives(gateway: Gateway) {
    let server = Server::start(gateway);
    let response = server.get("/stream?mib=32");
    assert_eq!(response.body.len(), 32 * 1024 * 1024);
    eventually("the end of the response", || server.seen.dropped() == 1);
}

fn a_failed_response_body_is_not_completed(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/broken");
    let bytes = client.rest();
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.ends_with("0\r\n\r\n"), "passes for complete: {text}");
    assert_eq!(server.get("/").status, 200);
}

/// A client that closed its sending side may still read, or may have disconnected. The asynchronous
/// gateway assumes that it has disconnected.
fn a_half_closed_connection_gets_a_response_or_closes(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/sleep?ms=300");
    client.socket.shutdown(Shutdown::Write).unwrap();
    match gateway {
        Gateway::Asynchronous => client.assert_closed(),
        _ => assert_eq!(client.receive().text(), "slept 300 ms"),
    }
}

fn pipelined_requests_get_responses_in_order(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    let request = |target| format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n");
    client.send(
        [
            request("/sleep?ms=100"),
            request("/"),
            request("/sleep?ms=1"),
        ]
        .concat(),
    );
    assert_eq!(client.receive().text(), "slept 100 ms");
    if gateway.keeps_connections() {
        assert_eq!(client.receive().text(), "hello");
        assert_eq!(client.receive().text(), "slept 1 ms");
    } else {
        client.assert_closed();
    }
}

/// The synchronous gateway does not read the second request, but must not reset the connection.
fn an_early_second_request_does_not_reset_the_connection(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/sleep?ms=300");
    eventually("the first", || server.seen.begun() == 1);
    client.get("/");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(client.receive().text(), "slept 300 ms");
    if gateway.keeps_connections() {
        assert_eq!(client.receive().text(), "hello");
    } else {
        client.assert_closed();
    }
}

fn a_response_does_not_wait_for_an_unwanted_body(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    let start = Instant::now();
    client.send("POST /drip HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n");
    assert_eq!(client.receive().text(), "drip drip drip ");
    assert!(start.elapsed() < SOON / 2, "waited for an unused body");
}

fn upgrade_requests_are_ignored(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.receive().text(), "hello");
    client.assert_closed();
}

fn http_1_0_keep_alive_works_if_the_connection_is_kept(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    let request = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    client.send(request);
    let response = client.receive();
    if gateway.keeps_connections() {
        assert_eq!(response.header("connection"), Some("keep-alive"));
        client.send(request);
        assert_eq!(client.receive().text(), "hello");
    } else {
        assert_ne!(response.header("connection"), Some("keep-alive"));
        client.assert_closed();
    }
}

#[test]
fn a_malformed_request_does_not_affect_the_previous_response() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::start(gateway);
        for (first, response) in [
            ("GET /sleep?ms=50 HTTP/1.1\r\nhost: test\r\n\r\n", 200),
            (
                "POST /mirror HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi",
                200,
            ),
            ("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n", 200),
        ] {
            let mut client = server.connect();
            client.send(format!("{first}nonsense\r\n\r\n"));
            let head = client.receive_head();
            assert_eq!(head.status, response, "{first}");
            let length = head.header("content-length").unwrap().parse().unwrap();
            if !first.starts_with("HEAD") {
                client.take(length);
            }
            client.receive().assert_problem(400);
            client.assert_closed();
        }
    }
}

#[test]
fn a_connection_serves_several_requests() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::start(gateway);
        let mut client = server.connect();
        for _ in 0..3 {
            client.get("/");
            assert_eq!(client.receive().text(), "hello");
            client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi");
            assert_eq!(client.receive().text(), "hi");
        }
        client.send("nonsense\r\n\r\n");
        client.receive().assert_problem(400);
        client.assert_closed();
    }
}

/// A client that sends its next request on a connection that closes would lose it (RFC 9112, section 9.6).
#[test]
fn a_close_after_an_unread_body_is_announced() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::start(gateway);
        for (length, body) in [(2, "hi"), (2, ""), (400_000, "hi")] {
            let mut client = server.connect();
            client.send(format!(
                "POST /ignore HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
            let response = client.receive();
            assert_eq!(response.status, 413);
            assert_eq!(response.header("connection"), Some("close"));
            client.assert_closed();
        }
    }
}

/// The gateways take a first "close" for the end of the connection: they set no idle timer, and keep the end of the
/// response for the close.
#[test]
fn a_close_is_not_undone_by_a_second_field() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::start(gateway);
        let mut client = server.connect();
        let both = "connection: close\r\nconnection: keep-alive\r\n";
        client.send(format!("GET / HTTP/1.1\r\nhost: test\r\n{both}\r\n"));
        assert_eq!(client.receive().text(), "hello", "{gateway:?}");
        client.assert_closed();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_ends_of_a_response_and_of_its_connection_arrive_together() {
    for gateway in [Gateway::Synchronous, Gateway::Keeping] {
        let server = Server::start(gateway);
        // In two packets, some clients would see the first one alone.
        for _ in 0..50 {
            let mut client = TcpStream::connect(server.address()).unwrap();
            let request = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
            client.write_all(request).unwrap();
            let both = PollFlags::IN | PollFlags::RDHUP;
            let mut polled = [PollFd::new(&client, both)];
            let limit = Timespec::try_from(SOON).unwrap();
            poll(&mut polled, Some(&limit)).unwrap();
            assert_eq!(polled[0].revents(), both, "{gateway:?}");
        }
    }
}
