//! Queries of a database that works.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Server, get};
use crate::postgres::{Postgres, within};

const DRIVERS: [&str; 3] = ["synchronous", "offloaded", "asynchronous"];

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn each_driver_queries_postgresql_on_both_servers() {
    let postgres = Postgres::start();
    let lab = Lab::start(&["--database", &postgres.url()]);
    let before = lab.scrape();
    for server in [&lab.sync, &lab.r#async] {
        for driver in DRIVERS {
            let response = get(server, &format!("/database/{driver}?seconds=0.5"));
            assert_eq!(response.status, 200, "{driver}: {}", response.body);
            assert_eq!(response.json()["seconds"], 0.5);
        }
    }
    let after = lab.scrape();
    // One query blocked the event loop, during two of them it was free.
    let spent = |server, state| after.state(server, state) - before.state(server, state);
    assert!(
        spent("async", "awaiting") > 0.9,
        "{}",
        spent("async", "awaiting")
    );
    let blocked = spent("async", "blocked");
    assert!((0.4..0.9).contains(&blocked), "{blocked}");
    assert!(
        spent("sync", "blocked") > 1.4,
        "{}",
        spent("sync", "blocked")
    );

    for server in ["sync", "async"] {
        for (driver, waits) in [("synchronous", 2.0), ("asynchronous", 1.0)] {
            let value = |name: &str, more: &str| {
                after.value(&format!(
                    "{name}{{driver=\"{driver}\",server=\"{server}\"{more}}}"
                ))
            };
            assert_eq!(value("database_pool_connections", ",state=\"idle\""), 1.0);
            assert_eq!(value("database_pool_connections", ",state=\"used\""), 0.0);
            assert_eq!(value("database_pool_limit", ""), 20.0);
            assert_eq!(value("database_pool_waiting", ""), 0.0);
            assert_eq!(value("database_pool_wait_seconds_count", ""), waits);
            let connections = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'threadlab {server} {driver}'"
            );
            assert_eq!(postgres.count(&connections), 1, "{server} {driver}");
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn a_client_that_disconnects_cancels_its_asynchronous_query_and_no_other() {
    let postgres = Postgres::start();
    let server = Server::start(
        "async",
        &["--database", &postgres.url(), "--database-pool", "1"],
    );
    for _ in 0..10 {
        disconnect_during_a_query(&server, &postgres);
        // With one connection, this query begins when the cancelled one has ended.
        let response = get(&server.http, "/database/asynchronous?seconds=0.05");
        assert_eq!(response.status, 200, "{}", response.body);
    }
    assert_eq!(postgres.count(ACTIVE), 0);
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'threadlab%'";
    within(Duration::from_secs(5), "the others are closed", || {
        postgres.count(connections) == 1
    });
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn a_cancellation_that_arrives_late_ends_no_other_query() {
    let postgres = Postgres::start();
    let (front, cancellations) = repeat_cancellations(postgres.address());
    let url = format!("postgresql://lab@{front}/postgres");
    let server = Server::start("async", &["--database", &url, "--database-pool", "1"]);
    disconnect_during_a_query(&server, &postgres);
    // Runs while the cancellation arrives for the second time.
    let response = get(&server.http, "/database/asynchronous?seconds=2");
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(cancellations.try_iter().count(), 2);
}

/// Number of queries of the lab that run.
const ACTIVE: &str = "SELECT count(*) FROM pg_stat_activity \
                      WHERE application_name LIKE 'threadlab%' AND state = 'active'";

/// Sends a query of a minute, and disconnects once it runs.
fn disconnect_during_a_query(server: &Server, postgres: &Postgres) {
    let mut client = TcpStream::connect(&server.http).unwrap();
    let request = "GET /database/asynchronous?seconds=60 HTTP/1.1\r\nHost: lab\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    within(Duration::from_secs(5), "the query runs", || {
        postgres.count(ACTIVE) == 1
    });
}

/// Forwards connections to PostgreSQL at the returned address, and each request for a cancellation twice, half a second
/// apart. The receiver gets an item for each.
fn repeat_cancellations(postgres: SocketAddr) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, cancellations) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let sent = sent.clone();
            thread::spawn(move || forward(client.unwrap(), postgres, &sent));
        }
    });
    (address, cancellations)
}

fn forward(mut client: TcpStream, postgres: SocketAddr, sent: &Sender<()>) {
    // Of `CancelRequest`: its length and code, followed by the process and its key.
    const CANCEL: [u8; 8] = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];
    let mut start = [0; 16];
    client.read_exact(&mut start).unwrap();
    let mut server = TcpStream::connect(postgres).unwrap();
    server.write_all(&start).unwrap();
    if start.starts_with(&CANCEL) {
        sent.send(()).unwrap();
        thread::sleep(Duration::from_millis(500));
        let mut again = TcpStream::connect(postgres).unwrap();
        again.write_all(&start).unwrap();
        // PostgreSQL closes the connection once it has sent its signals.
        let _ = again.read(&mut [0]);
        sent.send(()).unwrap();
        return;
    }
    let (mut requests, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut server, &mut client);
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn slots_are_shared_by_all_drivers_and_freed_when_a_client_disconnects() {
    let postgres = Postgres::start();
    let lab = Lab::start(&["--database", &postgres.url()]);
    let queries = |slots: &str| {
        let start = Instant::now();
        let paths = [
            (&lab.sync, "offloaded"),
            (&lab.r#async, "offloaded"),
            (&lab.r#async, "asynchronous"),
        ];
        let requests = paths.map(|(address, driver)| {
            let address = address.clone();
            let path = format!("/database/{driver}?seconds=0.3{slots}");
            thread::spawn(move || get(&address, &path).status)
        });
        for request in requests {
            assert_eq!(request.join().unwrap(), 200);
        }
        start.elapsed()
    };
    // Opens the connections.
    queries("");
    let without = queries("");
    assert!(without < Duration::from_millis(700), "{without:?}");

    let mut client = TcpStream::connect(&lab.r#async).unwrap();
    let request = "GET /database/asynchronous?seconds=60&slots=1 HTTP/1.1\r\nHost: lab\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let locks = || postgres.count("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    within(Duration::from_secs(5), "the slot is taken", || locks() == 1);
    drop(client);
    let one_after_the_other = queries("&slots=1");
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(5)).contains(&one_after_the_other),
        "{one_after_the_other:?}"
    );
    assert_eq!(locks(), 0);
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn event_loops_share_the_connections_of_a_server() {
    let postgres = Postgres::start();
    let server = Server::start(
        "async",
        &[
            "--database",
            &postgres.url(),
            "--database-pool",
            "1",
            "--threads",
            "2",
        ],
    );
    // New connections are distributed over both event loops, so some wait for a connection that the other one used.
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let address = server.http.clone();
            thread::spawn(move || get(&address, "/database/asynchronous?seconds=0.02").status)
        })
        .collect();
    for request in requests {
        assert_eq!(request.join().unwrap(), 200);
    }
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'threadlab%'";
    assert_eq!(postgres.count(connections), 1);
}
