//! Threads survive panics, disconnects and arbitrary input, and descriptors are freed.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::harness::{Client, Gateway, Server, eventually, threads};

against_all!(
    a_panic_ends_only_its_connection,
    early_disconnects_leave_nothing_in_flight,
    arbitrary_bytes_do_not_stop_the_server,
    concurrent_clients_all_get_responses,
    closed_connections_free_their_descriptors,
    threads_have_names,
    each_thread_is_registered,
    blocking_pool_threads_have_their_own_names,
);

fn a_panic_ends_only_its_connection(gateway: Gateway) {
    let server = Server::start(gateway);
    for _ in 0..3 {
        let mut client = server.connect();
        client.get("/panic");
        client.assert_closed();
        assert_eq!(server.get("/").status, 200);
        assert_eq!(server.get("/sleep?ms=1").status, 200);
    }
    server.wait_until_none_in_flight();
}

fn early_disconnects_leave_nothing_in_flight(gateway: Gateway) {
    let server = Server::start(gateway);
    for part in [
        "",
        "GET",
        "GET / HTTP/1.1\r\n",
        "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhi",
        "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhi",
        "GET /stream?mib=64 HTTP/1.1\r\nhost: test\r\n\r\n",
    ] {
        server.connect().send(part);
        assert_eq!(server.get("/").status, 200, "after {part:?}");
    }
    server.wait_until_none_in_flight();
}

/// Generates parts of requests, valid and invalid.
fn fragments() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let known = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /echo HTTP/1.1\r\n",
        "POST /ignore HTTP/1.0\r\n",
        "POST /mirror HTTP/1.1\r\n",
        "HEAD / HTTP/1.1\r\n",
        "host: test\r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "content-length: 5\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: chunked\r\n",
        "expect: 100-continue\r\n",
        "\r\n",
        "\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
    ]);
    let any = prop::collection::vec(any::<u8>(), 1..20);
    let fragment = prop_oneof![9 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => any];
    prop::collection::vec(fragment, 1..12)
}

/// The server may respond or not, but it closes the connection and serves the next one.
fn arbitrary_bytes_do_not_stop_the_server(gateway: Gateway) {
    let server = Server::with(gateway, |config| {
        config.limits.read_timeout = Duration::from_millis(50);
        config.limits.idle_timeout = Duration::from_millis(50);
    });
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(fragments in fragments())| {
        let mut client = server.connect();
        for fragment in fragments {
            // The server may have closed the connection already.
            let _ = client.socket.write_all(&fragment);
        }
        let mut end = Vec::new();
        match client.socket.read_to_end(&mut end) {
            Ok(_) => {}
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        drop(client);
        prop_assert_eq!(server.get("/").status, 200);
    });
    server.wait_until_none_in_flight();
}

fn concurrent_clients_all_get_responses(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.threads = threads(4));
    let responses = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                for target in ["/", "/sleep?ms=5"] {
                    assert_eq!(server.get(target).status, 200);
                    responses.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(responses.into_inner(), 400);
}

/// Counts the descriptors of this process that are sockets with this local port.
fn descriptors(port: u16) -> usize {
    let port = format!(":{port:04X}");
    let sockets = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let inodes: Vec<String> = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns[1].ends_with(&port))
        .map(|columns| format!("socket:[{}]", columns[9]))
        .collect();
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| inodes.iter().any(|inode| target.as_os_str() == &**inode))
        .count()
}

fn closed_connections_free_their_descriptors(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.threads = threads(2));
    assert_eq!(server.get("/").status, 200);
    let port = server.address().port();
    let listening = descriptors(port);
    assert!(listening > 0, "no listening socket found");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2500 {
                    assert_eq!(server.get("/").status, 200);
                }
            });
        }
    });
    eventually("all closed", || descriptors(port) == listening);
    server.wait_until_none_in_flight();
}

/// Returns the names of the server's threads.
fn names(server: &Server) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with(&format!("{}-", server.name)))
        .collect();
    names.sort();
    names
}

fn threads_have_names(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.threads = threads(3));
    let expected: Vec<_> = (0..3)
        .map(|index| format!("{}-{index}", server.name))
        .collect();
    eventually("their names", || names(&server) == expected);
}

fn each_thread_is_registered(gateway: Gateway) {
    let server = Server::with(gateway, |config| config.threads = threads(3));
    let indices = || {
        let states = server.registry.read().states();
        states.keys().copied().collect::<Vec<_>>()
    };
    eventually("three threads", || indices() == [0, 1, 2]);
    assert_eq!(server.get("/offload").status, 200);
    assert_eq!(indices(), [0, 1, 2]);
    server.running.shutdown();
    eventually("none", || indices().is_empty());
}

fn blocking_pool_threads_have_their_own_names(gateway: Gateway) {
    let server = Server::start(gateway);
    let expected = format!("{}-0-pool", server.name);
    assert_eq!(server.get("/offload").text(), expected);
}

#[test]
fn all_threads_are_registered_when_the_gateway_has_started() {
    for gateway in [
        Gateway::Synchronous,
        Gateway::Keeping,
        Gateway::Asynchronous,
    ] {
        for _ in 0..10 {
            let server = Server::with(gateway, |config| config.threads = threads(16));
            assert_eq!(server.registry.read().threads.len(), 16);
        }
    }
}

/// The kernel distributes the connections; every thread gets some.
#[test]
fn event_loops_share_the_port() {
    let server = Server::with(Gateway::Asynchronous, |config| config.threads = threads(2));
    let pools = || server.get("/offload").text().to_owned();
    let expected = |index| format!("{}-{index}-pool", server.name);
    for index in 0..2 {
        eventually("each loop's turn", || pools() == expected(index));
    }
}

#[test]
fn idle_connections_do_not_keep_a_thread_from_others() {
    for gateway in Gateway::THAT_KEEP {
        let server = Server::start(gateway);
        let mut idle: Vec<_> = (0..200)
            .map(|_| Client::new(TcpStream::connect(server.address()).unwrap()))
            .collect();
        assert_eq!(server.get("/").status, 200);
        for client in &mut idle {
            client.get("/");
        }
        for client in &mut idle {
            assert_eq!(client.receive().status, 200);
        }
        server.wait_until_none_in_flight();
    }
}

#[test]
fn open_client_sockets_do_not_hold_a_synchronous_thread() {
    let server = Server::start(Gateway::Synchronous);
    let start = Instant::now();
    let mut stay = Vec::new();
    for _ in 0..8 {
        let mut client = server.connect();
        client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi");
        assert_eq!(client.receive().text(), "hi");
        stay.push(client);
    }
    assert!(start.elapsed() < Duration::from_secs(4));
}
