//! A database that is down, restarted in mid-query, or does not respond.

use std::fs;
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Response, Server, get};
use crate::postgres::{Postgres, within};

const DRIVERS: [&str; 3] = ["synchronous", "offloaded", "asynchronous"];
/// Time that the servers of these tests wait for the database.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Starts a lab with this database and a short timeout.
fn start_lab(postgres: &Postgres) -> Lab {
    Lab::start(&["--database", &postgres.url(), "--database-timeout", "2"])
}

/// A query that was sent: server and driver, response, and its latency.
type Sent = JoinHandle<(String, Response, Duration)>;

/// Sends queries of this duration with each driver to both servers.
fn send(lab: &Lab, each: usize, seconds: f64) -> Vec<Sent> {
    send_with(&DRIVERS, lab, each, seconds)
}

/// Sends queries of this duration with these drivers to both servers.
fn send_with(drivers: &[&'static str], lab: &Lab, each: usize, seconds: f64) -> Vec<Sent> {
    let servers = [("sync", &lab.sync), ("async", &lab.r#async)];
    let mut requests = Vec::new();
    for (name, address) in servers {
        for &driver in drivers {
            for _ in 0..each {
                let address = address.clone();
                requests.push(thread::spawn(move || {
                    let started = Instant::now();
                    let path = format!("/database/{driver}?seconds={seconds}");
                    let response = get(&address, &path);
                    (format!("{name} {driver}"), response, started.elapsed())
                }));
            }
        }
    }
    requests
}

fn all_succeed(lab: &Lab) {
    for request in send(lab, 2, 0.0) {
        let (what, response, _) = request.join().unwrap();
        assert_eq!(response.status, 200, "{what}: {}", response.body);
    }
}

/// Connections of the lab, as PostgreSQL counts them.
fn backends(postgres: &Postgres) -> usize {
    postgres.count("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'threadlab%'")
}

/// Connections of the lab, as its metrics count them in a state.
fn connections(lab: &Lab, state: &str) -> usize {
    let samples = lab.scrape().samples;
    let connections = samples.iter().filter(|(series, _)| {
        series.starts_with("database_pool_connections{")
            && series.contains(&format!("state=\"{state}\""))
    });
    connections.map(|(_, value)| *value as usize).sum()
}

/// Returns the number of descriptors at rest. The first reading during a request opens a socket to the kernel, by which
/// the lab counts queued requests, and keeps it.
fn descriptors_at_rest(lab: &Lab) -> usize {
    let address = lab.r#async.clone();
    let waiting = thread::spawn(move || get(&address, "/?seconds=0.5").status);
    within(Duration::from_secs(10), "the request waits", || {
        let samples = lab.scrape().samples;
        let mut in_flight = samples.iter();
        in_flight.any(|(series, value)| {
            series == "http_server_active_requests{server=\"async\"}" && *value == 1.0
        })
    });
    lab.scrape();
    assert_eq!(waiting.join().unwrap(), 200);
    let counts = (0..10).map(|_| {
        thread::sleep(Duration::from_millis(50));
        descriptors(lab)
    });
    counts.min().unwrap()
}

fn descriptors(lab: &Lab) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", lab.process.pid()));
    open.unwrap().count()
}

/// Asserts that nothing is left of failed queries: neither connections nor descriptors.
fn nothing_leaked(lab: &Lab, postgres: &Postgres, descriptors_before: usize) {
    within(Duration::from_secs(10), "no connection is used", || {
        connections(lab, "used") == 0
    });
    within(
        Duration::from_secs(10),
        "both sides count the same connections",
        || backends(postgres) == connections(lab, "idle"),
    );
    // Each open connection has one descriptor. The rest are connections of clients that are being closed.
    within(Duration::from_secs(10), "descriptors are closed", || {
        descriptors(lab) <= descriptors_before + backends(postgres)
    });
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn a_killed_database_gives_errors_and_full_recovery() {
    let mut postgres = Postgres::start();
    let lab = start_lab(&postgres);
    let descriptors_before = descriptors_at_rest(&lab);
    all_succeed(&lab);

    // In mid-query, while others wait for their turn on the servers' threads.
    let mut requests = send_with(&["offloaded", "asynchronous"], &lab, 3, 30.0);
    within(Duration::from_secs(10), "queries run", || {
        connections(&lab, "used") == 1 + 6
    });
    // It blocks the event loop, so it comes last.
    requests.extend(send_with(&["synchronous"], &lab, 1, 30.0));
    within(Duration::from_secs(10), "the event loop is blocked", || {
        connections(&lab, "used") == 1 + 7
    });
    postgres.kill();
    for request in requests {
        let (what, response, _) = request.join().unwrap();
        assert_eq!(response.status, 503, "{what}: {}", response.body);
        let problem = response.json();
        let detail = problem["detail"].as_str().unwrap();
        let is_clear = detail.starts_with("the database failed during the query: ")
            || detail.starts_with("cannot connect to the database: ");
        assert!(is_clear, "{what}: {detail}");
    }

    // While it is down.
    let response = get(&lab.r#async, "/database/asynchronous?seconds=0");
    assert_eq!(response.status, 503, "{}", response.body);
    for request in send(&lab, 1, 0.0) {
        let (what, response, took) = request.join().unwrap();
        assert_eq!(response.status, 503, "{what}: {}", response.body);
        // The three of a server wait one after the other.
        assert!(
            took < 3 * TIMEOUT + Duration::from_secs(2),
            "{what}: {took:?}"
        );
    }
    assert_eq!(get(&lab.r#async, "/dummy").status, 200);

    postgres.restart();
    within(Duration::from_secs(10), "each driver works again", || {
        send(&lab, 1, 0.0)
            .into_iter()
            .all(|request| request.join().unwrap().1.status == 200)
    });
    all_succeed(&lab);
    nothing_leaked(&lab, &postgres, descriptors_before);
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn a_terminated_backend_fails_only_its_own_query() {
    let postgres = Postgres::start();
    let lab = start_lab(&postgres);
    let descriptors_before = descriptors_at_rest(&lab);
    let requests = send(&lab, 1, 5.0);
    within(Duration::from_secs(10), "queries run", || {
        connections(&lab, "used") >= 2
    });
    let terminated = postgres.count(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'threadlab%' AND \
         state = 'active'",
    );
    let responses = requests.into_iter().map(|request| request.join().unwrap());
    let failed = responses
        .filter(|(_, response, _)| response.status == 503)
        .count();
    assert_eq!(failed, terminated);
    all_succeed(&lab);
    nothing_leaked(&lab, &postgres, descriptors_before);
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn a_database_that_does_not_respond_gives_504_in_time() {
    let postgres = Postgres::start();
    let lab = start_lab(&postgres);
    let descriptors_before = descriptors_at_rest(&lab);
    all_succeed(&lab);
    postgres.signal("STOP");
    for driver in ["offloaded", "asynchronous"] {
        let started = Instant::now();
        let response = get(&lab.r#async, &format!("/database/{driver}?seconds=0"));
        assert_eq!(response.status, 504, "{driver}: {}", response.body);
        let took = started.elapsed();
        assert!(
            took < 2 * TIMEOUT + Duration::from_secs(2),
            "{driver}: {took:?}"
        );
    }
    // The synchronous driver has no deadline of its own: its thread is blocked until the database continues.
    let address = lab.sync.clone();
    let blocked = thread::spawn(move || get(&address, "/database/synchronous?seconds=0"));
    thread::sleep(TIMEOUT + Duration::from_secs(1));
    assert!(!blocked.is_finished());
    postgres.signal("CONT");
    assert_eq!(blocked.join().unwrap().status, 200);
    within(Duration::from_secs(10), "each driver works again", || {
        send(&lab, 1, 0.0)
            .into_iter()
            .all(|request| request.join().unwrap().1.status == 200)
    });
    nothing_leaked(&lab, &postgres, descriptors_before);
}

#[test]
#[ignore = "needs PostgreSQL; make database"]
fn connections_that_a_database_does_not_open_in_time_are_closed() {
    let postgres = Postgres::start();
    let arguments = ["--database", &postgres.url(), "--database-timeout", "0.1"];
    let server = Server::start("async", &arguments);
    let connections = || {
        let open = fs::read_dir(format!("/proc/{}/fd", server.process.pid())).unwrap();
        let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let sockets = targets.filter(|target| target.to_string_lossy().starts_with("socket:"));
        sockets.count()
    };
    let before = connections();
    // The kernel accepts connections for it.
    postgres.signal("STOP");
    for _ in 0..20 {
        let response = get(&server.http, "/database/asynchronous?seconds=0");
        assert_eq!(response.status, 503, "{}", response.body);
    }
    within(Duration::from_secs(5), "connections are closed", || {
        connections() <= before + 2
    });
}
