//! A lab that is not what the predictions are about: each experiment has to notice.

use crate::crossed::Crossed;
use crate::lab::Lab;
use crate::runner::{Found, machine, perform};

fn is_contradicted(found: &Found, quantities: &[&str]) {
    assert_eq!(
        (found.verdict(), found.code),
        ("contradicted", Some(1)),
        "{:#}",
        found.run
    );
    let surprises = found.surprises();
    for quantity in quantities {
        let surprised = surprises
            .iter()
            .any(|finding| finding["quantity"] == *quantity);
        assert!(surprised, "{quantity} is not among {surprises:#?}");
    }
}

/// Four threads, so that one that is held does not matter.
fn with_four_threads(name: &str, seconds: &str, quantities: &[&str]) {
    let _machine = machine();
    let lab = Lab::start(&["--threads", "4"]);
    is_contradicted(&perform(&lab, &lab.front, name, seconds), quantities);
}

/// Each server's requests go to the other.
fn with_servers_crossed(name: &str, seconds: &str, quantities: &[&str]) {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let front = Crossed::start(&lab);
    is_contradicted(&perform(&lab, &front.address(), name, seconds), quantities);
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
    let _machine = machine();
    let lab = Lab::start(&["--max-in-flight", "100"]);
    let found = perform(&lab, &lab.front, "waiting", "1");
    is_contradicted(&found, &["requests in flight"]);
}

#[test]
fn capacity() {
    with_servers_crossed("capacity", "6", &["answers", "longest latency"]);
}

#[test]
fn noisy() {
    with_servers_crossed("noisy", "5", &["thread blocked", "p99 of /dummy"]);
}

#[test]
fn retry() {
    with_servers_crossed("retry", "8", &["waits that blocked a thread"]);
}
