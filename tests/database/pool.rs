//! A pool without a free connection, and a database without room for another one.

use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{Scrape, Server, get};
use crate::postgres::{Postgres, within};

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn a_request_waits_for_a_connection_only_as_long_as_it_may() {
    let postgres = Postgres::start();
    let server = Server::start(
        "async",
        &[
            "--database",
            &postgres.url(),
            "--database-pool",
            "1",
            "--database-timeout",
            "1",
        ],
    );
    for (path, driver) in [
        ("/database/offloaded", "synchronous"),
        ("/database/asynchronous", "asynchronous"),
    ] {
        let address = server.http.clone();
        let holder = thread::spawn(move || get(&address, &format!("{path}?seconds=4")));
        let value = |name: &str| {
            let series = format!("{name}{{driver=\"{driver}\",server=\"async\"}}");
            Scrape::of(&server.metrics).value(&series)
        };
        let used = format!(
            "database_pool_connections{{driver=\"{driver}\",server=\"async\",state=\"used\"}}"
        );
        within(Duration::from_secs(5), "the connection is used", || {
            Scrape::of(&server.metrics).value(&used) == 1.0
        });
        let address = server.http.clone();
        let waiting = thread::spawn(move || {
            let started = Instant::now();
            (
                get(&address, &format!("{path}?seconds=0")),
                started.elapsed(),
            )
        });
        within(Duration::from_secs(1), "a request waits", || {
            value("database_pool_waiting") == 1.0
        });
        let (response, took) = waiting.join().unwrap();
        assert_eq!(response.status, 503, "{}", response.body);
        let detail = response.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(
            detail,
            "no database connection was free within 1 s: all 1 of the pool were in use",
        );
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert_eq!(value("database_pool_waiting"), 0.0);
        assert_eq!(holder.join().unwrap().status, 200);
        assert_eq!(get(&server.http, &format!("{path}?seconds=0")).status, 200);
    }
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn a_full_database_gives_503_and_recovers() {
    let postgres = Postgres::start_with(&["max_connections=7", "superuser_reserved_connections=1"]);
    postgres.try_query("CREATE ROLE guest LOGIN").unwrap();
    let url = postgres.url().replace("lab@", "guest@");
    let server = Server::start("async", &["--database", &url, "--database-timeout", "2"]);
    for driver in ["offloaded", "asynchronous"] {
        let path = format!("/database/{driver}?seconds=4");
        let requests: Vec<_> = (0..12)
            .map(|_| {
                let (address, path) = (server.http.clone(), path.clone());
                thread::spawn(move || get(&address, &path))
            })
            .collect();
        let responses = requests.into_iter().map(|request| request.join().unwrap());
        let (succeeded, failed): (Vec<_>, Vec<_>) =
            responses.partition(|response| response.status == 200);
        assert!(!succeeded.is_empty() && !failed.is_empty(), "{driver}");
        for response in failed {
            assert_eq!(response.status, 503, "{driver}: {}", response.body);
            assert!(
                response.body.contains("connect"),
                "{driver}: {}",
                response.body
            );
        }
        let response = get(&server.http, &format!("/database/{driver}?seconds=0"));
        assert_eq!(response.status, 200, "{driver}: {}", response.body);
        // Makes room for the other driver.
        let end =
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'guest'";
        assert!(postgres.count(end) > 0);
    }
}
