//! Shutdown: no new connections, and requests in flight finish.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use threadlab::gateway::RunningGateway;

use crate::harness::{Client, Gateway, SOON, Server, eventually, threads};

against_all!(
    idle_threads_end_at_once,
    requests_in_flight_finish,
    bodies_in_flight_finish,
    unfinished_heads_do_not_delay_the_end,
    no_new_connections_are_accepted,
    join_reports_a_timeout,
    a_second_shutdown_is_harmless,
    the_port_is_free_again,
);

/// Asserts that a shutdown ends well before any timeout of a connection.
fn ends_promptly(running: &RunningGateway) {
    let start = Instant::now();
    running.shutdown();
    assert!(running.join(SOON), "still running");
    assert!(start.elapsed() < SOON / 4, "took {:?}", start.elapsed());
}

fn idle_threads_end_at_once(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.threads = threads(4));
    assert_eq!(server.get("/").status, 200);
    assert!(!server.running.join(Duration::ZERO));
    ends_promptly(&server.running);
}

fn requests_in_flight_finish(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/sleep?ms=300");
    eventually("the request", || server.seen.begun() == 1);
    server.running.shutdown();
    let response = client.receive();
    assert_eq!(response.text(), "slept 300 ms");
    assert_eq!(response.header("connection"), Some("close"));
    client.assert_closed();
    assert!(server.running.join(SOON));
    assert_eq!(server.seen.finished(), 1);
}

fn bodies_in_flight_finish(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhello");
    eventually("the request", || server.registry.requests_in_flight() == 1);
    server.running.shutdown();
    client.send("world");
    assert_eq!(client.receive().text(), "helloworld");
    assert!(server.running.join(SOON));
}

fn unfinished_heads_do_not_delay_the_end(gateway: Gateway) {
    for beginning in ["", "GET / HTTP/1.1\r\nhost: te"] {
        let server = Server::start(gateway);
        let mut client = server.connect();
        client.send(beginning);
        std::thread::sleep(Duration::from_millis(200));
        ends_promptly(&server.running);
        client.assert_closed();
    }
}

fn no_new_connections_are_accepted(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/sleep?ms=300");
    eventually("the request", || server.seen.begun() == 1);
    server.running.shutdown();
    assert!(TcpStream::connect(server.address()).is_err());
    assert_eq!(server.running.accept_queue().unwrap().limit, 0);
    assert_eq!(client.receive().status, 200);
}

fn join_reports_a_timeout(gateway: Gateway) {
    let server = Server::start(gateway);
    let mut client = server.connect();
    client.get("/sleep?ms=400");
    eventually("the request", || server.seen.begun() == 1);
    server.running.shutdown();
    assert!(!server.running.join(Duration::from_millis(100)));
    assert_eq!(client.receive().status, 200);
    assert!(server.running.join(SOON));
}

fn a_second_shutdown_is_harmless(gateway: Gateway) {
    let server = Server::start(gateway);
    server.running.shutdown();
    ends_promptly(&server.running);
}

fn the_port_is_free_again(gateway: Gateway) {
    let server = Server::start(gateway);
    let address = server.address();
    assert_eq!(server.get("/").status, 200);
    drop(server);
    let again = Server::with(gateway, |config| config.listen = address);
    assert_eq!(again.get("/").status, 200);
}

/// Opens connections without a request, of which half have had one.
fn idle_connections(server: &Server) -> Vec<Client> {
    let mut idle: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in idle.iter_mut().skip(4) {
        client.get("/");
        assert_eq!(client.receive().status, 200);
    }
    // Those in the accept queue would be reset.
    eventually("all connections are accepted", || {
        server.running.accept_queue().unwrap().length == 0
    });
    idle
}

#[test]
fn idle_connections_are_closed_at_once() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::with(gateway, |config| config.threads = threads(2));
        let mut idle = idle_connections(&server);
        ends_promptly(&server.running);
        for client in &mut idle {
            client.assert_closed();
        }
    }
}

/// The only thread has not seen them yet, because it is blocked.
#[test]
fn requests_on_open_connections_are_served_after_a_shutdown() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::start(gateway);
        let mut clients = idle_connections(&server);
        let mut busy = server.connect();
        busy.get("/block?ms=300");
        eventually("the busy thread", || server.seen.begun() == 1);
        for client in &mut clients {
            client.get("/");
        }
        server.running.shutdown();
        for client in clients.iter_mut().chain([&mut busy]) {
            let last = client.receive();
            let connection = last.header("connection");
            assert_eq!(
                (last.status, connection),
                (200, Some("close")),
                "{gateway:?}"
            );
            client.assert_closed();
        }
        assert!(server.running.join(SOON), "still running");
    }
}

/// A call that still blocks a pool thread after its client has disconnected belongs to no request.
#[test]
fn abandoned_blocking_calls_do_not_delay_the_shutdown() {
    let server = Server::start(Gateway::Asynchronous);
    let mut client = server.connect();
    client.get("/offload?ms=4000");
    eventually("the request", || server.registry.requests_in_flight() == 1);
    drop(client);
    server.wait_until_none_in_flight();
    ends_promptly(&server.running);
}
