//! nginx's metrics of the requests that it forwarded.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::TIMEOUT;
use crate::backend::Backend;
use crate::client::{request, response_to};
use crate::failures::silent;
use crate::lab::{Behind, Front, Lab};

/// Above the bucket of 0.5 s, which on a busy machine contains a connect, too.
const SLOW: Duration = Duration::from_millis(600);

/// Returns the samples by series.
fn scrape(lab: &Lab) -> BTreeMap<String, f64> {
    let response = response_to(lab.nginx().status, "GET /metrics");
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = response.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    samples.map(sample).collect()
}

/// Returns the samples once a series has at least this value: nginx counts a request after its response.
fn scrape_until(lab: &Lab, series: &str, value: f64) -> BTreeMap<String, f64> {
    let start = Instant::now();
    loop {
        let samples = scrape(lab);
        if samples.get(series).is_some_and(|found| *found >= value) {
            return samples;
        }
        assert!(
            start.elapsed() < TIMEOUT,
            "{series} never was {value}: {samples:#?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn requests(server: &str, status: u16) -> String {
    format!(
        r#"nginx_http_request_duration_seconds_count{{server="{server}",http_response_status_code="{status}"}}"#
    )
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn series_exist_before_the_first_request() {
    let lab = Lab::echo(Front::Nginx);
    for path in ["/", "/nowhere", "/sync", "/live/sync"] {
        lab.response_to(&format!("GET {path}"));
    }
    let samples = scrape(&lab);
    for server in ["sync", "async"] {
        for status in [200, 499, 502, 504] {
            assert!(samples.contains_key(&requests(server, status)), "{status}");
        }
        for part in ["connect", "header", "response"] {
            let count =
                format!(r#"nginx_upstream_{part}_duration_seconds_count{{server="{server}"}}"#);
            assert!(samples.contains_key(&count), "{part}");
        }
    }
    let counted: Vec<_> = samples.iter().filter(|(_, value)| **value != 0.0).collect();
    assert!(counted.is_empty(), "none was for a server: {counted:?}");
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn histograms_contain_the_times_of_requests() {
    let slow = Backend::start(|mut connection| {
        while connection.request().is_some() {
            thread::sleep(SLOW);
            connection.respond("ok");
        }
    });
    let behind = Behind {
        sync: vec![Backend::dead(), slow],
        ..Behind::echo()
    };
    let lab = Lab::start(Front::Nginx, behind);
    // One of the two goes to the dead server first.
    for _ in 0..2 {
        assert_eq!(lab.response_to("GET /sync/").status(), 200);
    }
    // What nginx adds last of both requests.
    let last = r#"nginx_upstream_response_duration_seconds_sum{server="sync"}"#;
    let samples = scrape_until(&lab, last, 2.0 * SLOW.as_secs_f64());
    assert_eq!(samples[&requests("sync", 200)], 2.0);
    let value = |name: &str, labels: &str| samples[&format!("{name}{{{labels}}}")];

    for (name, labels) in [
        (
            "nginx_http_request_duration_seconds",
            r#"server="sync",http_response_status_code="200""#,
        ),
        ("nginx_upstream_header_duration_seconds", r#"server="sync""#),
        (
            "nginx_upstream_response_duration_seconds",
            r#"server="sync""#,
        ),
    ] {
        let bucket = |bound: &str| {
            value(
                &format!("{name}_bucket"),
                &format!(r#"{labels},le="{bound}""#),
            )
        };
        // The attempt at the dead server may be recorded too, with almost no time.
        let slow = bucket("+Inf") - bucket("0.5");
        assert_eq!(slow, 2.0, "{name}: {samples:#?}");
        assert_eq!(bucket("+Inf"), value(&format!("{name}_count"), labels));
        let sum = value(&format!("{name}_sum"), labels);
        assert!((1.2..4.0).contains(&sum), "{name}: {sum}");
    }
    let connects = value(
        "nginx_upstream_connect_duration_seconds_bucket",
        r#"server="sync",le="0.5""#,
    );
    assert!(
        connects >= 2.0,
        "the time to connect contains that of the response: {connects}"
    );
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn requests_without_a_response_are_counted_by_status() {
    let (deaf, _) = silent();
    let behind = Behind {
        sync: vec![Backend::dead()],
        asynchronous: deaf,
        ..Behind::echo()
    };
    let timeout = Duration::from_millis(700);
    let lab = Lab::start(Front::Nginx, behind.with_upstream_timeout(timeout));
    lab.response_to("GET /sync/").assert_problem(502);
    lab.response_to("GET /async/").assert_problem(504);
    let mut hasty = lab.connect();
    hasty.send(request("GET /async/"));
    thread::sleep(timeout / 4);
    drop(hasty);

    for (server, status) in [("sync", 502), ("async", 504), ("async", 499)] {
        let samples = scrape_until(&lab, &requests(server, status), 1.0);
        assert_eq!(samples[&requests(server, status)], 1.0);
        assert_eq!(samples[&requests(server, 200)], 0.0);
    }
}
