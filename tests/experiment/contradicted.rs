//! Each experiment is contradicted on a lab that violates its assumptions.

use crate::crossed::Crossed;
use crate::lab::Lab;
use crate::runner::{Found, measured, perform};

fn is_contradicted(found: &Found, quantities: &[&str]) {
    assert_eq!(
        (found.verdict(), found.code),
        ("contradicted", Some(1)),
        "{:#}",
        found.run
    );
    let failed = found.failed_findings();
    for quantity in quantities {
        let fails = failed
            .iter()
            .any(|finding| finding["quantity"] == *quantity);
        assert!(fails, "{quantity} is not among {failed:#?}");
    }
}

/// Runs an experiment on a lab with four threads, where one that is held makes no difference.
fn with_four_threads(name: &str, seconds: &str, quantities: &[&str]) {
    measured(|| {
        let lab = Lab::start(&["--threads", "4"]);
        is_contradicted(&perform(&lab, &lab.front, name, seconds), quantities);
    });
}

/// Runs an experiment through a front that swaps the two servers.
fn with_servers_crossed(name: &str, seconds: &str, quantities: &[&str]) {
    measured(|| {
        let lab = Lab::start(&[]);
        let front = Crossed::start(&lab);
        is_contradicted(&perform(&lab, &front.address(), name, seconds), quantities);
    });
}

#[test]
fn article() {
    with_four_threads("article", "4", &["latency of /dummy"]);
}

#[test]
fn matrix() {
    with_four_threads("matrix", "6", &["latency of /dummy"]);
}

#[test]
fn drivers() {
    with_four_threads("drivers", "6", &["latency of /dummy"]);
}

#[test]
fn abort() {
    with_four_threads("abort", "6", &["latency of /dummy"]);
}

#[test]
fn keepalive() {
    with_four_threads("keepalive", "6", &["latency of /dummy"]);
}

#[test]
fn slow_client() {
    with_four_threads("slow-client", "6", &["latency of /dummy"]);
}

#[test]
fn waiting() {
    measured(|| {
        // Fewer than the 500 of the highest level.
        let lab = Lab::start(&["--max-in-flight", "400"]);
        let found = perform(&lab, &lab.front, "waiting", "1");
        is_contradicted(&found, &["requests in flight"]);
    });
}

#[test]
fn capacity() {
    with_servers_crossed("capacity", "6", &["responses", "longest latency"]);
}

#[test]
fn pools() {
    measured(|| {
        // Requests then wait for a thread of the blocking pool, not for a connection.
        let lab = Lab::start(&["--pool", "20"]);
        let found = perform(&lab, &lab.front, "pools", "2");
        is_contradicted(&found, &["mean wait for a connection"]);
    });
}

#[test]
fn noisy() {
    with_servers_crossed("noisy", "5", &["thread blocked", "p99 of /dummy"]);
}

#[test]
fn retry() {
    with_servers_crossed("retry", "8", &["waits that blocked a thread"]);
}
