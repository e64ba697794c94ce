//! Metrics of requests that do not simply get a 200: the client disconnects, waits for a thread, or uses an unknown
//! method.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common {
    pub(crate) mod lab;
}

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::lab::{Lab, Scrape, Server, get};
use socket2::SockRef;

/// Sends a request head as given, with a line break for each `|`.
fn send(address: &str, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = head.replace('|', "\r\n") + "\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Scrapes until a series has a value, for at most 5 s.
fn wait_for(metrics: &str, series: &str, value: f64) -> Scrape {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let scrape = Scrape::of(metrics);
        if scrape.samples.get(series) == Some(&value) {
            return scrape;
        }
        assert!(
            Instant::now() < deadline,
            "{series} is {:?}",
            scrape.samples.get(series)
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_disconnect_counts_as_499_and_ends_the_await() {
    let server = Server::start("async", &[]);
    let active = r#"http_server_active_requests{server="async"}"#;
    // Another request before it that completes: its await has ended as well.
    assert_eq!(get(&server.http, "/?seconds=0.1").status, 200);
    let client = send(&server.http, "GET /?seconds=60 HTTP/1.1|Host: x");
    wait_for(&server.metrics, active, 1.0);
    drop(client);

    let disconnected = r#"http_server_request_duration_seconds_count{server="async",http_request_method="GET",http_route="/",http_response_status_code="499"}"#;
    wait_for(&server.metrics, disconnected, 1.0);
    // Not that scrape: it may have read the await before the request ended, and the count after it.
    let first = Scrape::of(&server.metrics);
    thread::sleep(Duration::from_secs(1));
    let later = Scrape::of(&server.metrics);
    assert_eq!(later.value(active), 0.0);
    let awaited = r#"http_route_await_seconds_total{server="async",http_route="/"}"#;
    assert_eq!(later.value(awaited), first.value(awaited));
    assert!(later.share(&first, "async", "idle") > 0.8);
}

/// A way in which a client leaves.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Close,
    Reset,
    CloseSendingSide,
}

impl Leave {
    const ALL: [Self; 3] = [Self::Close, Self::Reset, Self::CloseSendingSide];

    /// Returns the socket if it stays open.
    fn leave(self, client: TcpStream) -> Option<TcpStream> {
        match self {
            Self::Close => drop(client),
            Self::Reset => {
                let no_time = Some(Duration::ZERO);
                SockRef::from(&client).set_linger(no_time).unwrap();
            }
            Self::CloseSendingSide => {
                client.shutdown(Shutdown::Write).unwrap();
                return Some(client);
            }
        }
        None
    }
}

fn count(scrape: &Scrape, server: &str, route: &str, status: u16) -> f64 {
    let series = format!(
        r#"http_server_request_duration_seconds_count{{server="{server}",http_request_method="GET",http_route="{route}",http_response_status_code="{status}"}}"#
    );
    scrape.samples.get(&series).copied().unwrap_or_default()
}

/// Runs a test of each kind of server, both at the same time.
fn on_both_servers(test: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for name in ["sync", "async"] {
            let test = &test;
            scope.spawn(move || test(name));
        }
    });
}

/// Three clients leave while another request holds the only thread.
#[test]
fn requests_whose_clients_left_in_the_queue_are_not_worked_on() {
    on_both_servers(|name| {
        let server = Server::start(name, &[]);
        let holding = send(&server.http, "GET /blocking?seconds=3 HTTP/1.1|Host: x");
        let active = format!(r#"http_server_active_requests{{server="{name}"}}"#);
        wait_for(&server.metrics, &active, 1.0);
        let left: Vec<_> = Leave::ALL
            .iter()
            .map(|leave| {
                let client = send(&server.http, "GET /cpu?seconds=20 HTTP/1.1|Host: x");
                thread::sleep(Duration::from_millis(100));
                leave.leave(client)
            })
            .collect();
        assert_eq!(get(&server.http, "/dummy").status, 200);
        let scrape = Scrape::of(&server.metrics);
        // A reset may have taken the request with it.
        assert!(count(&scrape, name, "/cpu", 499) >= 2.0, "{name}");
        assert_eq!(count(&scrape, name, "/cpu", 200), 0.0, "{name}");
        assert_eq!(count(&scrape, name, "/blocking", 200), 1.0, "{name}");
        drop((holding, left));
    });
}

/// The requests are the second ones of their connections, which the synchronous server keeps.
#[test]
fn requests_on_kept_connections_are_queued_and_not_worked_on_after_their_clients_left() {
    let server = Server::start("sync", &["--keep-alive"]);
    let mut kept = Leave::ALL.map(|leave| {
        let mut client = send(&server.http, "GET /dummy HTTP/1.1|Host: x");
        let length = client.read(&mut [0; 4096]).unwrap();
        assert!(length > 0, "{leave:?}");
        (leave, client)
    });
    let active = r#"http_server_active_requests{server="sync"}"#;
    wait_for(&server.metrics, active, 0.0);
    let holding = send(&server.http, "GET /blocking?seconds=1.5 HTTP/1.1|Host: x");
    wait_for(&server.metrics, active, 1.0);
    for (_, client) in &mut kept {
        let head = b"GET /cpu?seconds=20 HTTP/1.1\r\nHost: x\r\n\r\n";
        client.write_all(head).unwrap();
    }
    let queued = r#"http_server_queued_requests{server="sync",where="socket"}"#;
    let scrape = wait_for(&server.metrics, queued, 3.0);
    assert_eq!(scrape.value(active), 1.0);
    let left = kept.map(|(leave, client)| leave.leave(client));
    assert_eq!(get(&server.http, "/dummy").status, 200);
    let scrape = Scrape::of(&server.metrics);
    // The reset took its request with it, or not.
    assert!(count(&scrape, "sync", "/cpu", 499) >= 2.0);
    assert_eq!(count(&scrape, "sync", "/cpu", 200), 0.0);
    drop((holding, left));
}

/// Asserts that each way to leave counts as 499 at both servers, after a request that is in flight.
fn assert_leaving_counts_as_499(route: &str, request: &str) {
    on_both_servers(|name| {
        let server = Server::start(name, &[]);
        let active = format!(r#"http_server_active_requests{{server="{name}"}}"#);
        for (index, leave) in Leave::ALL.into_iter().enumerate() {
            let client = send(&server.http, request);
            wait_for(&server.metrics, &active, 1.0);
            let left = leave.leave(client);
            wait_for(&server.metrics, &active, 0.0);
            let scrape = Scrape::of(&server.metrics);
            let counted = count(&scrape, name, route, 499);
            assert_eq!(counted, index as f64 + 1.0, "{name}, {leave:?}");
            drop(left);
        }
    });
}

/// Neither server can notice it meanwhile.
#[test]
fn clients_that_leave_while_a_handler_holds_its_thread_count_as_499() {
    assert_leaving_counts_as_499("/blocking", "GET /blocking?seconds=1.5 HTTP/1.1|Host: x");
}

#[test]
fn clients_that_leave_before_they_have_sent_the_body_count_as_499() {
    let head = "GET /dummy HTTP/1.1|Host: x|Content-Length: 5";
    assert_leaving_counts_as_499("/dummy", head);
}

/// As `nc -N` does, for example. On a busy machine the request may wait.
#[test]
fn a_client_that_closes_its_sending_side_gets_a_response_that_is_ready() {
    for name in ["sync", "async"] {
        let server = Server::start(name, &[]);
        let is_served = |_| {
            let mut client = send(&server.http, "GET /dummy HTTP/1.1|Host: x");
            client.shutdown(Shutdown::Write).unwrap();
            let mut response = String::new();
            client.read_to_string(&mut response).unwrap();
            response.starts_with("HTTP/1.1 200 ")
        };
        assert!((0..20).any(is_served), "{name}");
    }
}

#[test]
fn connections_that_wait_for_a_thread_show_in_the_accept_queue_and_in_the_queue_time() {
    let lab = Lab::start(&[]);
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| get(&lab.front, "/sync/?seconds=2"));
        wait_for(
            &lab.metrics,
            r#"http_server_active_requests{server="sync"}"#,
            1.0,
        );
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(get(&lab.front, "/sync/dummy").status, 200));
        }
        let length = r#"tcp_accept_queue_length{server="sync"}"#;
        let scrape = wait_for(&lab.metrics, length, 2.0);
        assert_eq!(
            scrape.value(r#"tcp_accept_queue_length{server="async"}"#),
            0.0
        );
        assert!(scrape.value(r#"tcp_accept_queue_limit{server="sync"}"#) > 2.0);
    });
    let queued = r#"http_server_request_queue_seconds_sum{server="sync"}"#;
    let queued = lab.scrape().value(queued);
    let most = 3.0 * started.elapsed().as_secs_f64();
    assert!((1.0..most).contains(&queued), "{queued} s of {most} s");
}

#[test]
fn an_unknown_method_creates_no_series() {
    let server = Server::start("async", &[]);
    let mut response = String::new();
    send(
        &server.http,
        "BREW /dummy HTTP/1.1|Host: x|Connection: close",
    )
    .read_to_string(&mut response)
    .unwrap();
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
    let scrape = Scrape::of(&server.metrics);
    let counts: Vec<_> = scrape
        .samples
        .keys()
        .filter(|series| series.contains("_count") && series.contains(r#""405""#))
        .collect();
    assert!(
        counts.len() == 1 && counts[0].contains(r#"method="_OTHER""#),
        "{counts:?}"
    );
}

/// Time since 1970, in nanoseconds.
fn now() -> u128 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_nanos()
}

/// Sends a request to `/dummy` with this `X-Request-Start`.
fn started_at(server: &Server, start: &str) {
    let head = format!("GET /dummy HTTP/1.1|Host: x|X-Request-Start: {start}");
    let mut response = String::new();
    send(&server.http, &head)
        .read_to_string(&mut response)
        .unwrap();
    assert!(response.starts_with("HTTP/1.1 200 "), "{start}: {response}");
}

#[test]
fn request_starts_in_all_units_give_the_right_queue_time() {
    let server = Server::start("sync", &[]);
    let quarter = || now() - 250_000_000;
    started_at(
        &server,
        &format!(
            "t={}.{:03}",
            quarter() / 1_000_000_000,
            quarter() / 1_000_000 % 1_000
        ),
    );
    started_at(&server, &format!("t={}", quarter() / 1_000_000));
    started_at(&server, &format!("{}", quarter() / 1_000));
    started_at(&server, &format!("t={}", quarter()));
    let scrape = Scrape::of(&server.metrics);
    let value = |end| {
        scrape.value(&format!(
            r#"http_server_request_queue_seconds_{end}{{server="sync"}}"#
        ))
    };
    assert_eq!(value("count"), 4.0);
    // A busy machine may need longer.
    assert!((0.99..4.0).contains(&value("sum")), "{}", value("sum"));
}

#[test]
fn an_impossible_request_start_is_rejected() {
    let server = Server::start("sync", &[]);
    let in_an_hour = (now() / 1_000_000_000 + 3_600).to_string();
    for start in [&*format!("t={in_an_hour}.000"), "t=0", "t=NaN", "yesterday"] {
        started_at(&server, start);
    }
    let scrape = Scrape::of(&server.metrics);
    for (series, value) in [
        ("request_queue_seconds_count", 0.0),
        ("request_start_rejected_total", 4.0),
    ] {
        let series = format!(r#"http_server_{series}{{server="sync"}}"#);
        assert_eq!(scrape.value(&series), value, "{series}");
    }
}
