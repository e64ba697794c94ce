//! HTTP/1 as both gateways speak it.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, SOON, Server, eventually};

against_both!(
    get,
    head_has_no_body,
    http_1_0_closes,
    sized_body,
    chunked_body,
    expect_continue,
    expect_continue_unwanted,
    streams_both_ways,
    big_answer,
    answer_that_fails_is_cut_short,
    half_closed_client_gets_its_answer_or_none,
    pipelined_requests,
    request_during_another,
    answer_during_an_unread_body,
    http_2_is_refused,
    malformed_requests_are_refused,
    wishes_to_upgrade_are_passed_by,
    http_1_0_keep_alive,
);

fn get(gateway: Gateway) {
    let answer = Server::start(gateway).get("/");
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let close = (gateway == Gateway::Synchronous).then_some("close");
    assert_eq!(answer.header("connection"), close);
}

fn head_has_no_body(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    let answer = client.receive_head();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some("5"));
    client.assert_closed();
}

fn http_1_0_closes(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.receive();
    assert!(answer.head.starts_with("HTTP/1.0 200 OK\r\n"), "{answer:?}");
    assert_eq!(answer.text(), "hello");
    client.assert_closed();
}

fn sized_body(gateway: Gateway) {
    let server = Server::start(gateway);
    let body = "x".repeat(1024 * 1024);
    let mut client = server.connect();
    let length = body.len();
    client.send(format!(
        "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    let answer = client.receive();
    assert_eq!(answer.status, 200);
    assert!(answer.body == body.as_bytes(), "the echo differs");
}

fn chunked_body(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n");
    client.send("7\r\n, world\r\n0\r\n\r\n");
    assert_eq!(client.receive().text(), "hello, world");
}

fn expect_continue(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    );
    // A client that waits for this sends nothing before it.
    assert_eq!(client.receive().status, 100);
    client.send("hello");
    assert_eq!(client.receive().text(), "hello");
}

fn expect_continue_unwanted(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(
        "POST /ignore HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    );
    let start = Instant::now();
    assert_eq!(client.receive().status, 413);
    client.assert_closed();
    assert!(
        start.elapsed() < SOON / 2,
        "it waited for a body that nobody wants"
    );
}

fn streams_both_ways(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("POST /mirror HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("5\r\nfirst\r\n");
    assert_eq!(client.receive_head().status, 200);
    // The answer's first part comes before the request's second.
    assert_eq!(client.take(10), b"5\r\nfirst\r\n");
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(client.take(16), b"6\r\nsecond\r\n0\r\n\r\n");
}

fn big_answer(gateway: Gateway) {
    let server = Server::start(gateway);
    let answer = server.get("/stream?mib=32");
    assert_eq!(answer.body.len(), 32 * 1024 * 1024);
    eventually("the end of the response", || server.seen.dropped() == 1);
}

fn answer_that_fails_is_cut_short(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/broken");
    let bytes = client.rest();
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.ends_with("0\r\n\r\n"), "passes for complete: {text}");
    assert_eq!(server.get("/").status, 200);
}

/// It may still read, or have left: the asynchronous gateway takes it for the latter.
fn half_closed_client_gets_its_answer_or_none(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/sleep?ms=300");
    client.socket.shutdown(Shutdown::Write).unwrap();
    match gateway {
        Gateway::Synchronous => assert_eq!(client.receive().text(), "slept 300 ms"),
        Gateway::Asynchronous => client.assert_closed(),
    }
}

fn pipelined_requests(gateway: Gateway) {
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
    match gateway {
        Gateway::Synchronous => client.assert_closed(),
        Gateway::Asynchronous => {
            assert_eq!(client.receive().text(), "hello");
            assert_eq!(client.receive().text(), "slept 1 ms");
        }
    }
}

/// It is not read, and yet does not turn the close after the first answer into a reset.
fn request_during_another(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/sleep?ms=300");
    eventually("the first", || server.seen.begun() == 1);
    client.get("/");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(client.receive().text(), "slept 300 ms");
    match gateway {
        Gateway::Synchronous => client.assert_closed(),
        Gateway::Asynchronous => assert_eq!(client.receive().text(), "hello"),
    }
}

fn answer_during_an_unread_body(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    let start = Instant::now();
    client.send("POST /drip HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n");
    assert_eq!(client.receive().text(), "drip drip drip ");
    assert!(
        start.elapsed() < SOON / 2,
        "it waited for a body that nobody wants"
    );
}

fn http_2_is_refused(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.receive().assert_problem(505);
    client.assert_closed();
}

fn malformed_requests_are_refused(gateway: Gateway) {
    let server = Server::start(gateway);
    for malformed in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\0 HTTP/1.1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: many\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: gzip\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(malformed);
        client.receive().assert_problem(400);
        client.assert_closed();
    }
    assert_eq!(server.get("/").status, 200);
}

fn wishes_to_upgrade_are_passed_by(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.receive().text(), "hello");
    client.assert_closed();
}

fn http_1_0_keep_alive(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    let request = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    client.send(request);
    let answer = client.receive();
    match gateway {
        Gateway::Synchronous => {
            assert_ne!(answer.header("connection"), Some("keep-alive"));
            client.assert_closed();
        }
        Gateway::Asynchronous => {
            assert_eq!(answer.header("connection"), Some("keep-alive"));
            client.send(request);
            assert_eq!(client.receive().text(), "hello");
        }
    }
}

#[test]
fn a_malformed_request_does_not_spoil_the_answer_before_it() {
    let server = Server::start(Gateway::Asynchronous);
    for (first, answer) in [
        ("GET /sleep?ms=50 HTTP/1.1\r\nhost: test\r\n\r\n", 200),
        (
            "POST /ignore HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi",
            413,
        ),
        (
            "POST /mirror HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi",
            200,
        ),
        ("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n", 200),
    ] {
        let mut client = server.connect();
        client.send(format!("{first}nonsense\r\n\r\n"));
        let head = client.receive_head();
        assert_eq!(head.status, answer, "{first}");
        let length = head.header("content-length").unwrap().parse().unwrap();
        if !first.starts_with("HEAD") {
            client.take(length);
        }
        client.receive().assert_problem(400);
        client.assert_closed();
    }
}

#[test]
fn a_kept_connection_serves_one_request_after_the_other() {
    let server = Server::start(Gateway::Asynchronous);
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

#[test]
fn an_unread_body_does_not_spoil_a_kept_connection() {
    let server = Server::start(Gateway::Asynchronous);
    let mut client = server.connect();
    client.send("POST /ignore HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi");
    assert_eq!(client.receive().status, 413);
    client.get("/");
    assert_eq!(client.receive().text(), "hello");
}
