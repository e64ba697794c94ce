//! Each experiment is confirmed on an unchanged lab.

use crate::lab::Lab;
use crate::runner::{Found, machine, perform, print_repeat};

/// Runs an experiment and asserts that it is confirmed. A contradiction is printed and must occur twice to fail the
/// test: a machine that is short of memory or disk bandwidth can cause one.
fn is_confirmed(name: &str, seconds: &str) -> Found {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let mut found = perform(&lab, &lab.front, name, seconds);
    if found.verdict() == "contradicted" {
        print_repeat(name, &found);
        found = perform(&lab, &lab.front, name, seconds);
    }
    assert_eq!(
        (found.verdict(), found.code),
        ("confirmed", Some(0)),
        "{}: {:#?}",
        found.run["notes"],
        found.failed_findings()
    );
    found
}

#[test]
fn article() {
    is_confirmed("article", "4");
}

#[test]
fn matrix() {
    let found = is_confirmed("matrix", "6");
    // The blocking pool is reported exactly where the load uses it.
    for finding in found.run["findings"].as_array().unwrap() {
        let setting = &finding["setting"];
        let offloads = setting["load"].as_str().unwrap().contains("offloaded");
        let pool = &setting["pool_threads"];
        assert_eq!(pool.as_u64(), offloads.then_some(512), "{finding:#}");
    }
}

#[test]
fn abort() {
    is_confirmed("abort", "6");
}

#[test]
fn keepalive() {
    is_confirmed("keepalive", "6");
}

#[test]
fn slow_client() {
    is_confirmed("slow-client", "6");
}

#[test]
fn waiting() {
    is_confirmed("waiting", "1");
}

#[test]
fn capacity() {
    is_confirmed("capacity", "6");
}

#[test]
fn noisy() {
    is_confirmed("noisy", "5");
}

#[test]
fn retry() {
    is_confirmed("retry", "8");
}
