//! The database of the stack: killed under load, and down while a server starts.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::eventually;
use crate::http::{Response, get};
use crate::prometheus::Prometheus;
use crate::stack::Stack;

const SERVERS: [&str; 2] = ["sync", "async"];
const DRIVERS: [&str; 3] = ["synchronous", "offloaded", "asynchronous"];
/// Queries that are killed: server, driver, and how many at once. A query of the synchronous server holds its only
/// thread.
const KILLED: [(&str, &str, usize); 3] = [
    ("sync", "synchronous", 1),
    ("async", "offloaded", 10),
    ("async", "asynchronous", 10),
];

/// Connections of the servers, as PostgreSQL counts them.
const CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'lab'";

/// Sends all of these queries at once, each of this duration.
fn send(front: &str, seconds: f64) -> Vec<JoinHandle<Response>> {
    let mut requests = Vec::new();
    for (server, driver, count) in KILLED {
        let url = format!("{front}/{server}/database/{driver}?seconds={seconds}");
        requests.extend((0..count).map(|_| {
            let url = url.clone();
            thread::spawn(move || get(&url))
        }));
    }
    requests
}

fn detail(response: &Response) -> String {
    assert_eq!(response.content_type, "application/problem+json");
    let problem: Value = serde_json::from_str(&response.body).unwrap();
    problem["detail"].as_str().unwrap().to_owned()
}

/// Sends a query with each driver to both servers, and returns the first response that is not a 200.
fn failed_query(front: &str) -> Option<String> {
    let queries = SERVERS
        .iter()
        .flat_map(|server| DRIVERS.map(|driver| format!("{server}/database/{driver}")));
    queries
        .map(|path| (get(&format!("{front}/{path}?seconds=0")), path))
        .find(|(response, _)| response.status != 200)
        .map(|(response, path)| format!("{path}: {} {}", response.status, response.body))
}

pub fn a_killed_database_gives_clear_errors_and_full_recovery(stack: &Stack) {
    let front = stack.url("nginx", 8080);
    let prometheus = Prometheus::at(stack.url("prometheus", 9090));
    let none_fails = |request: JoinHandle<Response>| request.join().unwrap().status == 200;
    assert!(send(&front, 0.5).into_iter().all(none_fails));
    let value = |expression: &str| {
        // Prometheus scrapes once a second.
        thread::sleep(Duration::from_secs(2));
        prometheus.number(expression).unwrap()
    };
    // Those of the asynchronous server that belong neither to a connection of a pool nor to one that nginx keeps.
    let descriptors = || {
        stack.compose(&["kill", "--signal", "HUP", "nginx"]);
        value(
            r#"process_open_fds{job="threadlab", server="async"}
                - on () sum(database_pool_connections{server="async"})"#,
        )
    };
    let descriptors_before = descriptors();
    let started = || stack.containers(&["async"])[0]["State"]["StartedAt"].clone();
    let started_before = started();

    let requests = send(&front, 60.0);
    let running = format!("{CONNECTIONS} AND state = 'active'");
    eventually("the queries run", || {
        stack.query(&running) == requests.len().to_string()
    });
    stack.compose(&["kill", "postgres"]);
    for request in requests {
        let response = request.join().unwrap();
        assert_eq!(response.status, 503, "{}", response.body);
        let detail = detail(&response);
        assert!(
            detail.starts_with("the database failed during the query: "),
            "{detail}"
        );
    }
    let response = get(&format!("{front}/async/database/asynchronous?seconds=0"));
    assert_eq!(response.status, 503, "{}", response.body);
    let reason = detail(&response);
    assert!(
        reason.starts_with("cannot connect to the database: "),
        "{reason}"
    );

    // Without a database, a server starts and serves all other paths.
    let recreate = ["up", "--detach", "--wait", "--no-deps", "--force-recreate"];
    stack.compose(&[&recreate[..], &["sync"]].concat());
    for server in SERVERS {
        assert_eq!(get(&format!("{front}/{server}/dummy")).status, 200);
    }

    stack.compose(&["up", "--detach", "postgres"]);
    eventually("each driver works again", || failed_query(&front).is_none());
    assert_eq!(started(), started_before, "the server was restarted");

    // Nothing is left of the failed queries.
    assert_eq!(
        value(r#"sum(database_pool_connections{state="used"})"#),
        0.0
    );
    let idle = value(r#"sum(database_pool_connections{state="idle"})"#);
    assert_eq!(stack.query(CONNECTIONS), idle.to_string());
    let left = descriptors() - descriptors_before;
    // A scrape, a health check and the socket by which queued requests are counted have one each.
    assert!(left <= 3.0, "{left} descriptors more");
}
