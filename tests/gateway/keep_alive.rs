//! Connections that the synchronous gateway keeps between two requests, without a thread for each.

use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use thread_states::State;

use crate::harness::{Client, Gateway, SOON, Server, eventually, threads};

/// Returns a client whose connection has carried a request and is idle.
fn kept(server: &Server) -> Client {
    let mut client = server.connect();
    client.get("/");
    let response = client.receive();
    assert_eq!(
        (response.text(), response.header("connection")),
        ("hello", None)
    );
    client
}

#[test]
fn an_idle_connection_does_not_hold_the_only_thread() {
    let server = Server::start(Gateway::Keeping);
    let mut idle = kept(&server);
    // Also one that has not carried a request yet.
    let mut silent = server.connect();
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(server.get("/").text(), "hello");
    }
    assert!(start.elapsed() < SOON / 4, "after {:?}", start.elapsed());
    eventually("idle", || {
        server.registry.read().states() == [(0, State::Idle)].into()
    });
    server.wait_until_none_in_flight();
    for client in [&mut idle, &mut silent] {
        client.get("/");
        assert_eq!(client.receive().text(), "hello");
    }
}

#[test]
fn a_request_on_a_kept_connection_is_in_flight_until_its_response_ends() {
    let server = Server::start(Gateway::Keeping);
    let mut client = kept(&server);
    client.get("/block?ms=400");
    eventually("blocked", || {
        server.registry.read().states() == [(0, State::Blocked)].into()
    });
    assert_eq!(server.registry.requests_in_flight(), 1);
    assert_eq!(client.receive().status, 200);
    eventually("idle", || {
        server.registry.read().states() == [(0, State::Idle)].into()
    });
    server.wait_until_none_in_flight();
}

#[test]
fn any_free_thread_serves_any_connection() {
    let server = Server::with(Gateway::Keeping, |config| config.threads = threads(3));
    let mut all: Vec<_> = (0..9).map(|_| kept(&server)).collect();
    let (busy, others) = all.split_at_mut(2);
    for client in &mut *busy {
        client.get("/block?ms=1000");
    }
    eventually("two busy threads", || server.seen.begun() == 2);
    let start = Instant::now();
    for _ in 0..3 {
        for client in &mut *others {
            client.get("/");
            assert_eq!(client.receive().text(), "hello");
        }
    }
    assert!(
        start.elapsed() < Duration::from_millis(700),
        "after {:?}",
        start.elapsed()
    );
    for client in busy {
        assert_eq!(client.receive().status, 200);
    }
}

#[test]
fn new_connections_do_not_overtake_kept_ones() {
    let server = Server::start(Gateway::Keeping);
    let (mut busy, mut first) = (kept(&server), kept(&server));
    busy.get("/block?ms=300");
    eventually("the busy thread", || server.seen.begun() == 1);
    first.get("/block?ms=100");
    thread::sleep(Duration::from_millis(50));
    let mut second = server.connect();
    second.get("/block?ms=100");
    assert_eq!(first.receive().status, 200);
    assert!(server.seen.dropped() < 3, "the second came first");
    for mut client in [busy, second] {
        assert_eq!(client.receive().status, 200);
    }
}

#[test]
fn pipelined_requests_take_turns_with_those_of_other_clients() {
    let server = Server::start(Gateway::Keeping);
    let mut greedy = server.connect();
    greedy.send("GET /block?ms=200 HTTP/1.1\r\nhost: test\r\n\r\n".repeat(5));
    eventually("the first", || server.seen.begun() == 1);
    assert_eq!(server.get("/").text(), "hello");
    let served = server.seen.begun();
    assert!(served < 4, "{served} of 5 came before it");
    for _ in 0..5 {
        assert_eq!(greedy.receive().status, 200);
    }
}

/// The rest of the second head arrives after the first response.
#[test]
fn a_head_that_began_with_the_previous_request_is_completed() {
    let server = Server::start(Gateway::Keeping);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\nGET /sleep?ms=1 HTTP/1.1\r\nho");
    assert_eq!(client.receive().text(), "hello");
    assert_eq!(server.get("/").text(), "hello");
    client.send("st: test\r\n\r\n");
    assert_eq!(client.receive().text(), "slept 1 ms");
}

#[test]
fn the_connection_that_was_idle_for_longest_makes_room_for_another_one() {
    let most = 3;
    let server = Server::with(Gateway::Keeping, |config| {
        config.connections = threads(most)
    });
    let mut clients: Vec<_> = (0..5)
        .map(|_| {
            let client = kept(&server);
            // It is idle when the next one comes.
            server.wait_until_none_in_flight();
            client
        })
        .collect();
    let rest = clients.split_off(2);
    for mut client in clients {
        client.assert_closed();
    }
    for mut client in rest {
        client.get("/");
        assert_eq!(client.receive().text(), "hello");
    }
}

#[test]
fn a_shutdown_closes_idle_connections_while_all_threads_are_busy() {
    let server = Server::start(Gateway::Keeping);
    let (mut idle, mut busy) = (kept(&server), kept(&server));
    busy.get("/block?ms=1000");
    eventually("the request", || server.seen.begun() == 1);
    server.running.shutdown();
    idle.assert_closed();
    assert_eq!(server.seen.dropped(), 0);
    // Its client knows that no other request can follow.
    let last = busy.receive();
    assert_eq!(last.text(), "blocked 1000 ms");
    assert_eq!(last.header("connection"), Some("close"));
    busy.assert_closed();
}

#[test]
fn a_reset_of_an_idle_connection_harms_nobody() {
    let server = Server::start(Gateway::Keeping);
    for _ in 0..20 {
        let client = kept(&server);
        SockRef::from(&client.socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(client);
        assert_eq!(server.get("/").text(), "hello");
    }
}

/// More connections than threads, each with many requests, beside others that carry one.
#[test]
fn many_clients_share_the_threads() {
    let server = Server::with(Gateway::Keeping, |config| config.threads = threads(4));
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut client = server.connect();
                for _ in 0..25 {
                    client.get("/");
                    assert_eq!(client.receive().text(), "hello");
                    assert_eq!(server.get("/sleep?ms=1").status, 200);
                }
            });
        }
    });
    server.wait_until_none_in_flight();
}
