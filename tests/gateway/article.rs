//! The experiment that the lab is built around, on one thread, and what else sets the two apart:
//! who waits while a request waits.

use std::time::{Duration, Instant};

use thread_states::State;

use crate::harness::{Gateway, SOON, Server, eventually, threads};

/// Asks for a wait of two seconds and, while it lasts, for something quick. Returns how long that
/// took.
fn quick_request_during_a_wait(server: &Server) -> Duration {
    let mut waiting = server.connect();
    waiting.get("/sleep?ms=2000");
    eventually("the wait", || server.seen.begun() == 1);
    let start = Instant::now();
    assert_eq!(server.get("/").text(), "hello");
    let quick = start.elapsed();
    assert_eq!(waiting.receive().text(), "slept 2000 ms");
    quick
}

#[test]
fn a_synchronous_thread_waits_with_its_request() {
    let server = Server::start(Gateway::Synchronous);
    let quick = quick_request_during_a_wait(&server);
    assert!(quick > Duration::from_millis(1500), "after {quick:?}");
}

#[test]
fn an_asynchronous_thread_serves_others_meanwhile() {
    let server = Server::start(Gateway::Asynchronous);
    let quick = quick_request_during_a_wait(&server);
    assert!(quick < Duration::from_millis(1000), "after {quick:?}");
}

#[test]
fn a_second_synchronous_thread_serves_meanwhile() {
    let server = Server::with(Gateway::Synchronous, |config| config.threads = threads(2));
    let quick = quick_request_during_a_wait(&server);
    assert!(quick < Duration::from_millis(1000), "after {quick:?}");
}

#[test]
fn a_blocking_call_keeps_an_asynchronous_thread_from_others() {
    let server = Server::start(Gateway::Asynchronous);
    let mut blocking = server.connect();
    blocking.get("/block?ms=1000");
    eventually("the call", || server.seen.begun() == 1);
    let start = Instant::now();
    assert_eq!(server.get("/").status, 200);
    assert!(start.elapsed() > Duration::from_millis(600));
}

/// The whole connection counts, also before a request came.
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
    assert_eq!(server.registry.requests_in_flight(), 0);
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

    // More than the sockets buffer, so it goes on until it is read.
    client.get("/stream?mib=64");
    client.receive_head();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.registry.requests_in_flight(), 1);
    assert_eq!(client.chunks().len(), 64 * 1024 * 1024);
    eventually("the end", || server.registry.requests_in_flight() == 0);
}

#[test]
fn the_accept_queue_shows_who_waits_for_a_synchronous_thread() {
    let server = Server::start(Gateway::Synchronous);
    let mut waiting = server.connect();
    waiting.get("/sleep?ms=1500");
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
fn a_client_that_leaves_cancels_its_handler() {
    let server = Server::start(Gateway::Asynchronous);
    let mut client = server.connect();
    client.get("/");
    assert_eq!(client.receive().status, 200);
    client.get("/sleep?ms=60000");
    eventually("the wait", || server.seen.begun() == 1);
    drop(client);
    eventually("the cancellation", || server.seen.dropped() == 1);
    assert_eq!(server.seen.finished(), 0);
    eventually("none in flight", || {
        server.registry.requests_in_flight() == 0
    });
}

#[test]
fn a_client_that_leaves_does_not_free_a_synchronous_thread() {
    let server = Server::start(Gateway::Synchronous);
    let mut client = server.connect();
    client.get("/sleep?ms=1000");
    eventually("the wait", || server.seen.begun() == 1);
    let start = Instant::now();
    drop(client);
    assert_eq!(server.get("/").status, 200);
    assert!(start.elapsed() > Duration::from_millis(600));
    assert!(start.elapsed() < SOON);
    assert_eq!(server.seen.finished(), 1);
}
