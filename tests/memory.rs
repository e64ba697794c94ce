//! The memory of the asynchronous server within its default limits: it stays below that of its container
//! in `docker-compose.yml`, 512 MiB, whatever clients send, and is returned to the system afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(target_os = "linux")]

mod common {
    pub(crate) mod crowd;
    pub(crate) mod lab;
}

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::crowd::{connect, memory, raise_file_limit};
use common::lab::{Server, get};

const MIB: u64 = 1024 * 1024;
const CONTAINER: u64 = 512 * MIB;
/// Memory of the kernel for a connection, which counts as the container's.
const SOCKET: u64 = 5 * 1024;
/// Connections that the server serves at once.
const SERVED: u64 = 14_000;

/// Raises the limit on open files, and returns how many connections a client can have.
fn most_clients() -> usize {
    // Some for the test itself.
    raise_file_limit(0).saturating_sub(100)
}

/// Returns the status that a client got, 0 if it got none yet.
fn status(mut client: &TcpStream) -> u16 {
    let mut head = [0; 12];
    match client.read(&mut head) {
        Ok(12) => std::str::from_utf8(&head[9..]).unwrap().parse().unwrap(),
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        // Closed after the response was sent, or during the head.
        _ => 1,
    }
}

/// Sends this request on so many connections, of which at most `most` may wait for a response.
fn load(server: &Server, name: &str, clients: usize, request: &[u8], most: usize) {
    let address: SocketAddr = server.http.parse().unwrap();
    let before = memory(server, "VmRSS");
    let clients: Vec<_> = (0..clients)
        .map(|index| connect(address, index, request))
        .collect();
    sleep(Duration::from_secs(1));
    let start = Instant::now();
    let mut waiting: Vec<_> = clients.iter().collect();
    loop {
        waiting.retain(|client| {
            let status = status(client);
            assert!([0, 1, 408, 503].contains(&status), "{name}: {status}");
            status == 0
        });
        if waiting.len() <= most {
            break;
        }
        // A busy machine needs a while for the others.
        let late = start.elapsed() > Duration::from_secs(30);
        assert!(!late, "{name}: {} wait", waiting.len());
        sleep(Duration::from_millis(200));
    }
    assert!(!waiting.is_empty(), "{name}: none waits");
    // It reads every connection from the kernel.
    assert_eq!(get(&server.metrics, "/metrics").status, 200);
    let peak = memory(server, "VmHWM") + SERVED * SOCKET;
    assert!(peak < CONTAINER / 10 * 9, "{name}: {} MiB", peak / MIB);
    drop(clients);

    let (start, most) = (Instant::now(), before * 13 / 10);
    while memory(server, "VmRSS") > most {
        let now = memory(server, "VmRSS");
        let late = start.elapsed() > Duration::from_secs(20);
        assert!(
            !late,
            "{name}: {} of {} MiB are left",
            now / MIB,
            before / MIB
        );
        sleep(Duration::from_millis(200));
    }
    assert_eq!(get(&server.http, "/dummy").status, 200);
}

#[test]
fn the_asynchronous_server_fits_its_container_and_returns_memory() {
    // On a busy machine, some clients time out before all are connected.
    let server = Server::start("async", &["--read-timeout", "60"]);
    // Its pool of connections, its histograms and so on.
    for _ in 0..100 {
        assert_eq!(get(&server.http, "/dummy").status, 200);
    }
    let clients = |wanted: usize| wanted.min(most_clients());
    let head = "GET /?seconds=200 HTTP/1.1\r\nHost: a\r\n";
    let all = usize::MAX;
    let waits = format!("{head}\r\n");
    load(&server, "waits", clients(19_500), waits.as_bytes(), 12_000);

    let field = format!("X: {}\r\n", "x".repeat(1_000));
    let large = head.to_owned() + &field.repeat(28);
    load(&server, "heads", clients(11_000), large.as_bytes(), 1_024);
    let complete = large + "\r\n";
    load(
        &server,
        "complete heads",
        clients(11_000),
        complete.as_bytes(),
        all,
    );

    let body = "POST /dummy HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n".to_owned();
    let bodies = body + &"x".repeat(60_000);
    load(&server, "bodies", clients(8_000), bodies.as_bytes(), all);
}
