//! The article's experiment on one thread, and other differences between the gateways: whether a
//! thread waits while its request waits.

use std::time::{Duration, Instant};

use thread_states::State;

use crate::harness::{Gateway, SOON, Server, eventually, threads};

/// Sends a request that waits for a second and, during the wait, a quick one. Returns how long the
/// quick request took.
fn quick_request_during_a_wait(server: &Server) -> Duration {
    let mut waiting = server.connect();
    waiting.get("/sleep?ms=1000");
    eventually("the wait", || server.seen.begun() == 1);
    let start = Instant::now();
    assert_eq!(server.get("/").text(), "hello");
    let quick = start.elapsed();
    assert_eq!(waiting.receive().text(), "slept 1000 ms");
    quick
}

#[test]
fn a_synchronous_thread_waits_with_its_request() {
    let server = Server::start(Gateway::Synchronous);
    let quick = quick_request_during_a_wait(&server);
    assert!(quick > Duration::from_millis(700), "after {quick:?}");
}

#[test]
fn an_asynchronous_thread_serves_other_requests_meanwhile() {
    let server = Server::start(Gateway::Asynchronous);
    let quick = quick_request_during_a_wait(&server);
    assert!(quick < Duration::from_millis(500), "after {quick:?}");
}

#[test]
fn a_second_synchronous_thread_serves_other_requests_meanwhile() {
    let server = Server::with(Gateway::Synchronous, |config| config.threads = threads(2));
    let quick = quick_request_during_a_wait(&server);
    assert!(quick < Duration::from_millis(500), "after {quick:?}");
}

#[test]
fn a_blocking_call_delays_other_requests_of_an_asynchronous_thread() {
    let server = Server::start(Gateway::Asynchronous);
    let mut blocking = server.connect();
    blocking.get("/block?ms=500");
    eventually("the call", || server.seen.begun() == 1);
    let start = Instant::now();
    assert_eq!(server.get("/").status, 200);
    assert!(start.elapsed() > Duration::from_millis(300));
}

/// The whole connection counts, even before a request arrives.
#[test]
fn a_synchronous_thread_is_busy_from_accept_to_close() {
    let server = Server::start(Gateway::Synchronous);
    eventually("idle", || {
        server.registry.read().states() == [(0, State::Idle)].into()
    });
    let silent = server.connect();
    eventually("in flight", || server.registry.requests_in_flight() == 1);
    eventually("blocked", || {
        server.registry.read().states() == [(0, State::Blocked)].into()
    });
    drop(silent);
    eventually("idle", || {
        server.registry.read().states() == [(0, State::Idle)].into()
    });
    server.wait_until_none_in_flight();
}

#[test]
fn an_asynchronous_request_is_in_flight_until_its_response_ends() {
    let server = Server::start(Gateway::Asynchronous);
    let mut client = server.connect();
    eventually("idle", || {
        server.registry.read().states() == [(0, State::Idle)].into()
    });
    client.get("/sleep?ms=700");
    eventually("awaiting", || {
        server.registry.read().states() == [(0, State::Awaiting)].into()
    });
    assert_eq!(server.registry.requests_in_flight(), 1);
    assert_eq!(client.receive().status, 200);
    eventually("idle", || {
        server.registry.read().states() == [(0, State::Idle)].into()
    });

    // More than the sockets buffer, so the response does not end before it is read.
    client.get("/stream?mib=64");
    client.receive_head();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.registry.requests_in_flight(), 1);
    assert_eq!(client.chunks().len(), 64 * 1024 * 1024);
    server.wait_until_none_in_flight();
}

#[test]
fn the_accept_queue_counts_connections_that_wait_for_a_synchronous_thread() {
    let server = Server::start(Gateway::Synchronous);
    let mut waiting = server.connect();
    waiting.get("/sleep?ms=700");
    eventually("the wait", || server.seen.begun() == 1);
    let queue = || server.running.accept_queue().unwrap();
    assert_eq!(queue().length, 0);
    let mut queued: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut queued {
        client.get("/");
    }
    eventually("three in the queue", || queue().length == 3);
    assert_eq!(queue().limit, 1024);
    assert_eq!(waiting.receive().status, 200);
    for client in &mut queued {
        assert_eq!(client.receive().text(), "hello");
    }
    assert_eq!(queue().length, 0);
}

#[test]
fn a_disconnect_cancels_an_asynchronous_handler() {
    let server = Server::start(Gateway::Asynchronous);
    let mut client = server.connect();
    client.get("/");
    assert_eq!(client.receive().status, 200);
    client.get("/sleep?ms=60000");
    eventually("the wait", || server.seen.begun() == 1);
    drop(client);
    eventually("the cancellation", || server.seen.dropped() == 1);
    assert_eq!(server.seen.finished(), 0);
    server.wait_until_none_in_flight();
}

#[test]
fn a_disconnect_does_not_free_a_synchronous_thread() {
    let server = Server::start(Gateway::Synchronous);
    let mut client = server.connect();
    client.get("/sleep?ms=500");
    eventually("the wait", || server.seen.begun() == 1);
    let start = Instant::now();
    drop(client);
    assert_eq!(server.get("/").status, 200);
    assert!(start.elapsed() > Duration::from_millis(300));
    assert!(start.elapsed() < SOON);
    assert_eq!(server.seen.finished(), 1);
}
