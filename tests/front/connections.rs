//! Connections on both sides of the front, and who ends them.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::PATIENCE;
use crate::backend::{Backend, Connection};
use crate::client::{Client, request};
use crate::lab::{Behind, Echoed, Front, Lab};
use crate::message::chunk;

pub fn async_connections_are_kept(front: Front) {
    let lab = Lab::echo(front);
    let mut numbers: Vec<_> = (0..8)
        .map(|_| lab.echoed("GET /async/").connection)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    // nginx keeps them for each worker by itself.
    assert!(numbers.len() < 8, "{numbers:?}");
}

pub fn sync_connections_are_not_kept(front: Front) {
    let (sender, closed) = mpsc::channel();
    let sender = Mutex::new(sender);
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![Backend::start(move |mut connection| {
                let asked_to_close =
                    connection.request().unwrap().header("connection") == Some("close");
                connection.answer("ok");
                let end = (connection.number, asked_to_close, connection.is_closed());
                sender.lock().unwrap().send(end).unwrap();
            })],
            ..Behind::echo()
        },
    );
    for number in 1..=3 {
        assert_eq!(lab.ask("GET /sync/").text(), "ok");
        assert_eq!(closed.recv_timeout(PATIENCE).unwrap(), (number, true, true));
    }
}

pub fn a_connection_that_the_server_closed_is_not_used(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::start(|mut connection| {
                connection.request().unwrap();
                connection.answer("ok");
            }),
            ..Behind::echo()
        },
    );
    for _ in 0..5 {
        assert_eq!(lab.ask("POST /async/\nContent-Length: 0").text(), "ok");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A server that tells when a request came, and when the front then closed the connection.
fn telling(
    before: impl Fn(&mut Connection) + Send + Sync + 'static,
) -> (Backend, mpsc::Receiver<&'static str>) {
    let (sender, told) = mpsc::channel();
    let sender = Mutex::new(sender);
    let backend = Backend::start(move |mut connection| {
        connection.request().unwrap();
        let tell = sender.lock().unwrap().clone();
        tell.send("came").unwrap();
        before(&mut connection);
        if connection.is_closed() {
            tell.send("closed").unwrap();
        }
    });
    (backend, told)
}

pub fn a_client_that_goes_away_is_told_to_the_server(front: Front) {
    let (sync, told_sync) = telling(|_| ());
    let (asynchronous, told_async) = telling(|_| ());
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![sync],
            asynchronous,
            ..Behind::echo()
        },
    );
    for (path, told) in [("/sync/", told_sync), ("/async/", told_async)] {
        let mut client = lab.connect();
        client.send(request(&format!("GET {path}")));
        assert_eq!(told.recv_timeout(PATIENCE), Ok("came"));
        assert_eq!(
            told.recv_timeout(Duration::from_millis(200)),
            Err(mpsc::RecvTimeoutError::Timeout)
        );
        drop(client);
        assert_eq!(told.recv_timeout(PATIENCE), Ok("closed"));
    }
}

pub fn a_client_that_goes_away_ends_its_stream(front: Front) {
    let (sync_threads, told) = telling(|connection| {
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
    assert_eq!(told.recv_timeout(PATIENCE), Ok("came"));
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("closed"));
}

pub fn a_client_keeps_its_connection(front: Front) {
    let lab = Lab::echo(front);
    let mut client = lab.connect();
    for path in ["/sync/a", "/async/b", "/sync/c"] {
        client.send(request(&format!("GET {path}")));
        let echoed = Echoed::from(&client.answer());
        assert!(echoed.line.contains(&path[path.len() - 2..]));
    }
    client.send(request("GET /\nConnection: close"));
    assert_eq!(client.answer().status(), 200);
    assert!(client.is_closed_silently());
}

pub fn pipelined_requests_are_answered_in_order(front: Front) {
    let lab = Lab::echo(front);
    let mut client = lab.connect();
    let paths = ["/sync/1", "/async/2", "/sync/3", "/async/4"];
    client.send(paths.map(|path| request(&format!("GET {path}"))).concat());
    for path in paths {
        let seen = Echoed::from(&client.answer()).line;
        assert!(seen.contains(&path[path.len() - 2..]), "{seen} for {path}");
    }
}

pub fn waiting_requests_hold_up_no_one(front: Front) {
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
        arrived.recv_timeout(PATIENCE).unwrap();
    }
    let start = Instant::now();
    lab.echoed("GET /async/dummy");
    assert!(start.elapsed() < PATIENCE / 3, "{:?}", start.elapsed());
    for mut client in waiting {
        // Nothing came, and the connection is still there.
        client.stream.get_ref().set_nonblocking(true).unwrap();
        let read = io::Read::read(&mut client.stream, &mut [0; 1]);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
