//! Metrics of requests that do not simply get a 200: the client disconnects, waits for a thread, or uses an unknown
//! method.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common {
    pub(crate) mod lab;
}

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::lab::{Lab, Scrape, Server, get};

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

    let disconnected = r#"http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="499",http_route="/",server="async"}"#;
    let first = wait_for(&server.metrics, disconnected, 1.0);
    thread::sleep(Duration::from_secs(1));
    let later = Scrape::of(&server.metrics);
    assert_eq!(later.value(active), 0.0);
    let awaited = r#"http_route_await_seconds_total{server="async",http_route="/"}"#;
    assert_eq!(later.value(awaited), first.value(awaited));
    assert!(later.share(&first, "async", "idle") > 0.8);
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

#[test]
fn an_impossible_request_start_counts_as_no_queue_time() {
    let server = Server::start("sync", &[]);
    let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
    let in_an_hour = in_an_hour.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let since_1970 = "t=0";
    for start in [
        &format!("t={}.000", in_an_hour.as_secs()),
        since_1970,
        "t=NaN",
        "yesterday",
    ] {
        let head = format!("GET /dummy HTTP/1.1|Host: x|X-Request-Start: {start}");
        let mut response = String::new();
        send(&server.http, &head)
            .read_to_string(&mut response)
            .unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{start}: {response}");
    }
    let scrape = Scrape::of(&server.metrics);
    let served = r#"http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/dummy",server="sync"}"#;
    assert_eq!(scrape.value(served), 4.0);
    for (end, value) in [("sum", 0.0), ("count", 1.0)] {
        let series = format!(r#"http_server_request_queue_seconds_{end}{{server="sync"}}"#);
        assert_eq!(scrape.value(&series), value, "{series}");
    }
}
