//! How the embedded front starts and stops.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use threadlab::proxy;

use crate::PATIENCE;
use crate::backend::Backend;
use crate::client::{Client, request};
use crate::embedded;
use crate::lab::Behind;
use crate::message::chunk;

/// A front before these servers, under the test's own control.
fn start(behind: &Behind) -> proxy::Running {
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
fn a_client_may_connect_before_the_start() {
    let bound = proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut client = Client::connect(bound.local_addr());
    client.send(request("GET /"));
    let behind = Behind::echo();
    let running = proxy::spawn(bound, embedded::config(&behind)).unwrap();
    assert_eq!(client.answer().status(), 200);
    running.shutdown();
    assert!(running.join(PATIENCE));
}

#[test]
fn idle_connections_end_at_once() {
    let behind = Behind::echo();
    let running = start(&behind);
    let mut idle = Client::connect(running.local_addr());
    idle.send(request("GET /"));
    idle.answer();
    let mut unused = Client::connect(running.local_addr());
    // The front has accepted it once it has answered a later one.
    crate::client::ask(running.local_addr(), "GET /");
    let start = Instant::now();
    running.shutdown();
    assert!(idle.is_closed_silently() && unused.is_closed_silently());
    assert!(running.join(PATIENCE));
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_request_in_flight_is_finished() {
    let (came, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (came, released) = (std::sync::Mutex::new(came), std::sync::Mutex::new(released));
    let behind = Behind {
        sync: vec![Backend::start(move |mut connection| {
            connection.request();
            came.lock().unwrap().send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            connection.answer("finished");
        })],
        ..Behind::echo()
    };
    let running = start(&behind);
    let address = running.local_addr();
    let mut client = Client::connect(address);
    client.send(request("GET /sync/"));
    arrived.recv_timeout(PATIENCE).unwrap();
    running.shutdown();
    wait_until(|| std::net::TcpStream::connect(address).is_err());
    release.send(()).unwrap();
    let answer = client.answer();
    assert_eq!(answer.text(), "finished");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(running.join(PATIENCE));
}

#[test]
fn a_stream_of_events_does_not_hold_up_the_end() {
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
    // The stream ends, and is whole as far as it went.
    assert_eq!(chunk(&mut client.stream).unwrap(), None);
    assert!(running.join(PATIENCE));
}

#[test]
fn a_request_that_never_ends_is_told_at_the_deadline() {
    let behind = Behind::both(|| {
        Backend::start(|mut connection| {
            connection.request();
            connection.is_closed();
        })
    });
    let running = start(&behind);
    let mut client = Client::connect(running.local_addr());
    client.send(request("GET /sync/"));
    crate::client::ask(running.local_addr(), "GET /");
    running.shutdown();
    assert!(!running.join(Duration::from_millis(300)));
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let (sender, closed) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let behind = Behind {
        sync: vec![Backend::start(move |mut connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\n\r\n");
            // More than all buffers on the way can hold.
            for _ in 0..1000 {
                connection.send(vec![b'x'; 64 * 1024]);
            }
            sender.lock().unwrap().send(()).unwrap();
        })],
        ..Behind::echo()
    };
    let running = start(&behind.with_client_timeout(Duration::from_millis(700)));
    let mut client = Client::connect(running.local_addr());
    client.send(request("GET /sync/"));
    // The server is let go while the client still holds its connection and reads nothing.
    closed.recv_timeout(PATIENCE).unwrap();
    drop(client);
    running.shutdown();
    assert!(running.join(PATIENCE));
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
}
