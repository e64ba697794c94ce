//! Queries of a database that works.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

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
    let active = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'threadlab%' AND state = 'active'";
    let active = || postgres.count(active);
    for _ in 0..10 {
        let mut client = TcpStream::connect(&server.http).unwrap();
        let request = "GET /database/asynchronous?seconds=60 HTTP/1.1\r\nHost: lab\r\n\r\n";
        client.write_all(request.as_bytes()).unwrap();
        within(Duration::from_secs(5), "the query runs", || active() == 1);
        drop(client);
        // With one connection, this query follows the cancelled one.
        let response = get(&server.http, "/database/asynchronous?seconds=0.05");
        assert_eq!(response.status, 200, "{}", response.body);
    }
    assert_eq!(active(), 0);
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'threadlab%'";
    assert_eq!(postgres.count(connections), 1);
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
