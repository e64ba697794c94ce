//! Start and shutdown of the embedded front.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use threadlab::proxy;

use crate::TIMEOUT;
use crate::backend::Backend;
use crate::client::{Client, request};
use crate::embedded;
use crate::lab::Behind;
use crate::message::chunk;

/// Starts a front that the test shuts down itself.
fn start(behind: &Behind) -> proxy::RunningProxy {
    let bound = proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    proxy::spawn(bound, embedded::config(behind)).unwrap()
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = proxy::bind(address).unwrap_err();
    assert_eq!(error.address, address);
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn clients_can_connect_before_the_start() {
    let bound = proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut client = Client::connect(bound.local_addr());
    client.send(request("GET /"));
    let behind = Behind::echo();
    let running = proxy::spawn(bound, embedded::config(&behind)).unwrap();
    assert_eq!(client.response().status(), 200);
    running.shutdown();
    assert!(running.join(TIMEOUT));
}

#[test]
fn connections_beyond_the_limit_get_503() {
    let behind = Behind::echo();
    let mut config = embedded::config(&behind);
    config.limits.connections = 2;
    let bound = proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let running = proxy::spawn(bound, config).unwrap();
    let mut held: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(running.local_addr());
            client.send(request("GET /"));
            assert_eq!(client.response().status(), 200);
            client
        })
        .collect();
    let rejected = crate::client::response_to(running.local_addr(), "GET /");
    rejected.assert_problem(503);
    assert_eq!(rejected.header("connection"), Some("close"));
    assert_eq!(rejected.header("retry-after"), Some("1"));
    held.pop();
    let start = Instant::now();
    while crate::client::response_to(running.local_addr(), "GET /").status() != 200 {
        assert!(start.elapsed() < TIMEOUT);
        thread::sleep(Duration::from_millis(50));
    }
    running.shutdown();
    assert!(running.join(TIMEOUT));
}

#[test]
fn idle_connections_close_at_once() {
    let behind = Behind::echo();
    let running = start(&behind);
    let mut idle = Client::connect(running.local_addr());
    idle.send(request("GET /"));
    idle.response();
    let mut unused = Client::connect(running.local_addr());
    let mut unfinished_later = Client::connect(running.local_addr());
    unfinished_later.send(request("GET /"));
    unfinished_later.response();
    unfinished_later.send("GET / HTTP/1.1\r\nHost: fr");
    let mut unfinished = Client::connect(running.local_addr());
    unfinished.send("GET / HTTP/1.1\r\nHost: fr");
    // The front has accepted it when it has responded on a later one.
    crate::client::response_to(running.local_addr(), "GET /");
    let start = Instant::now();
    running.shutdown();
    assert!(idle.is_closed_silently() && unused.is_closed_silently());
    assert!(unfinished.is_closed_silently() && unfinished_later.is_closed_silently());
    assert!(running.join(TIMEOUT));
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_request_in_flight_finishes() {
    let (came, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (came, released) = (std::sync::Mutex::new(came), std::sync::Mutex::new(released));
    let behind = Behind {
        sync: vec![Backend::start(move |mut connection| {
            connection.request();
            came.lock().unwrap().send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            connection.respond("finished");
        })],
        ..Behind::echo()
    };
    let running = start(&behind);
    let address = running.local_addr();
    let mut client = Client::connect(address);
    client.send(request("GET /sync/"));
    arrived.recv_timeout(TIMEOUT).unwrap();
    running.shutdown();
    wait_until(|| std::net::TcpStream::connect(address).is_err());
    release.send(()).unwrap();
    let response = client.response();
    assert_eq!(response.text(), "finished");
    assert_eq!(response.header("connection"), Some("close"));
    assert!(running.join(TIMEOUT));
}

#[test]
fn an_event_stream_does_not_delay_the_shutdown() {
    let behind = Behind {
        sync_threads: Backend::start(|mut connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            connection.is_closed();
        }),
        ..Behind::echo()
    };
    let running = start(&behind);
    let mut client = Client::connect(running.local_addr());
    client.send(request("GET /live/sync"));
    client.head();
    assert_eq!(chunk(&mut client.stream).unwrap().unwrap(), b"hello");
    running.shutdown();
    // The stream ends with a complete chunk.
    assert_eq!(chunk(&mut client.stream).unwrap(), None);
    assert!(running.join(TIMEOUT));
}

#[test]
fn join_reports_a_timeout() {
    let behind = Behind::both(|| {
        Backend::start(|mut connection| {
            connection.request();
            connection.is_closed();
        })
    });
    let running = start(&behind);
    let mut client = Client::connect(running.local_addr());
    client.send(request("GET /sync/"));
    crate::client::response_to(running.local_addr(), "GET /");
    running.shutdown();
    assert!(!running.join(Duration::from_millis(300)));
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let (sender, closed) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let behind = Behind {
        sync: vec![Backend::start(move |mut connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\n\r\n");
            // More than all buffers can hold.
            for _ in 0..1000 {
                connection.send(vec![b'x'; 64 * 1024]);
            }
            sender.lock().unwrap().send(()).unwrap();
        })],
        ..Behind::echo()
    };
    let running = start(&behind.with_client_timeout(Duration::from_millis(300)));
    let mut client = Client::connect(running.local_addr());
    client.send(request("GET /sync/"));
    // The front closes its connection to the server although the client keeps its own open.
    closed.recv_timeout(TIMEOUT).unwrap();
    drop(client);
    running.shutdown();
    assert!(running.join(TIMEOUT));
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT);
        thread::sleep(Duration::from_millis(10));
    }
}
