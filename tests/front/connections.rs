//! Connections on both sides of the front.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::TIMEOUT;
use crate::backend::{Backend, Connection};
use crate::client::{Client, request};
use crate::lab::{Behind, Echoed, Front, Lab};
use crate::message::chunk;

pub fn connections_to_the_async_server_are_reused(front: Front) {
    let lab = Lab::echo(front);
    let mut numbers: Vec<_> = (0..8)
        .map(|_| lab.echoed("GET /async/").connection)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    // Each worker of nginx has connections of its own.
    assert!(numbers.len() < 8, "{numbers:?}");
}

pub fn connections_to_the_sync_server_are_not_reused(front: Front) {
    let (sender, closed) = mpsc::channel();
    let sender = Mutex::new(sender);
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![Backend::start(move |mut connection| {
                let asked_to_close =
                    connection.request().unwrap().header("connection") == Some("close");
                connection.respond("ok");
                let end = (connection.number, asked_to_close, connection.is_closed());
                sender.lock().unwrap().send(end).unwrap();
            })],
            ..Behind::echo()
        },
    );
    for number in 1..=3 {
        assert_eq!(lab.response_to("GET /sync/").text(), "ok");
        assert_eq!(closed.recv_timeout(TIMEOUT).unwrap(), (number, true, true));
    }
}

pub fn a_connection_closed_by_the_server_is_not_used(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::start(|mut connection| {
                connection.request().unwrap();
                connection.respond("ok");
            }),
            ..Behind::echo()
        },
    );
    for _ in 0..5 {
        assert_eq!(
            lab.response_to("POST /async/\nContent-Length: 0").text(),
            "ok"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// Starts a server that reports when a request arrived, and when the front closed its connection.
fn reporting(
    before: impl Fn(&mut Connection) + Send + Sync + 'static,
) -> (Backend, mpsc::Receiver<&'static str>) {
    let (sender, events) = mpsc::channel();
    let sender = Mutex::new(sender);
    let backend = Backend::start(move |mut connection| {
        connection.request().unwrap();
        let events = sender.lock().unwrap().clone();
        events.send("request").unwrap();
        before(&mut connection);
        if connection.is_closed() {
            events.send("closed").unwrap();
        }
    });
    (backend, events)
}

pub fn a_disconnect_closes_the_connection_to_the_server(front: Front) {
    let (sync, sync_events) = reporting(|_| ());
    let (asynchronous, async_events) = reporting(|_| ());
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![sync],
            asynchronous,
            ..Behind::echo()
        },
    );
    for (path, events) in [("/sync/", sync_events), ("/async/", async_events)] {
        let mut client = lab.connect();
        client.send(request(&format!("GET {path}")));
        assert_eq!(events.recv_timeout(TIMEOUT), Ok("request"));
        assert_eq!(
            events.recv_timeout(Duration::from_millis(200)),
            Err(mpsc::RecvTimeoutError::Timeout)
        );
        drop(client);
        assert_eq!(events.recv_timeout(TIMEOUT), Ok("closed"));
    }
}

pub fn a_disconnect_ends_the_event_stream(front: Front) {
    let (sync_threads, events) = reporting(|connection| {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    let lab = Lab::start(
        front,
        Behind {
            sync_threads,
            ..Behind::echo()
        },
    );
    let mut client = lab.connect();
    client.send(request("GET /live/sync"));
    client.head();
    assert_eq!(chunk(&mut client.stream).unwrap().unwrap(), b"hello");
    assert_eq!(events.recv_timeout(TIMEOUT), Ok("request"));
    drop(client);
    assert_eq!(events.recv_timeout(TIMEOUT), Ok("closed"));
}

pub fn a_client_connection_is_reused(front: Front) {
    let lab = Lab::echo(front);
    let mut client = lab.connect();
    for path in ["/sync/a", "/async/b", "/sync/c"] {
        client.send(request(&format!("GET {path}")));
        let echoed = Echoed::from(&client.response());
        assert!(echoed.line.contains(&path[path.len() - 2..]));
    }
    client.send(request("GET /\nConnection: close"));
    assert_eq!(client.response().status(), 200);
    assert!(client.is_closed_silently());
}

pub fn pipelined_requests_get_responses_in_order(front: Front) {
    let lab = Lab::echo(front);
    let mut client = lab.connect();
    let paths = ["/sync/1", "/async/2", "/sync/3", "/async/4"];
    client.send(paths.map(|path| request(&format!("GET {path}"))).concat());
    for path in paths {
        let seen = Echoed::from(&client.response()).line;
        assert!(seen.contains(&path[path.len() - 2..]), "{seen} for {path}");
    }
}

pub fn waiting_requests_do_not_delay_others(front: Front) {
    const WAITING: usize = 300;
    let (arrive, arrived) = mpsc::channel();
    let arrive = Mutex::new(arrive);
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![Backend::start(move |mut connection| {
                connection.request();
                arrive.lock().unwrap().send(()).unwrap();
                connection.is_closed();
            })],
            ..Behind::echo()
        },
    );
    let waiting: Vec<Client> = (0..WAITING)
        .map(|_| {
            let mut client = lab.connect();
            client.send(request("GET /sync/"));
            client
        })
        .collect();
    for _ in 0..WAITING {
        arrived.recv_timeout(TIMEOUT).unwrap();
    }
    let start = Instant::now();
    lab.echoed("GET /async/dummy");
    assert!(start.elapsed() < TIMEOUT / 3, "{:?}", start.elapsed());
    for mut client in waiting {
        // There is no response yet, and the connection is open.
        client.stream.get_ref().set_nonblocking(true).unwrap();
        let read = io::Read::read(&mut client.stream, &mut [0; 1]);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
