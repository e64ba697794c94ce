//! Each experiment is confirmed on an unchanged lab.

use crate::lab::Lab;
use crate::runner::{Found, measured, perform, report_repeat};

fn is_confirmed(name: &str, seconds: &str) {
    is_confirmed_with(name, seconds, |_| ());
}

/// Runs an experiment, asserts that it is confirmed, and runs `check`. A contradiction is reported and must occur twice
/// to fail the test: a machine that is short of memory or disk bandwidth can cause one.
fn is_confirmed_with(name: &str, seconds: &str, check: impl Fn(&Found)) {
    measured(|| {
        let lab = Lab::start(&[]);
        let mut found = perform(&lab, &lab.front, name, seconds);
        if found.verdict() == "contradicted" {
            report_repeat(name, &found);
            found = perform(&lab, &lab.front, name, seconds);
        }
        assert_eq!(
            (found.verdict(), found.code),
            ("confirmed", Some(0)),
            "{}: {:#?}",
            found.run["notes"],
            found.failed_findings()
        );
        check(&found);
    });
}

#[test]
fn article() {
    is_confirmed("article", "4");
}

#[test]
fn matrix() {
    is_confirmed_with("matrix", "6", |found| {
        // The blocking pool is reported exactly where the load uses it.
        for finding in found.run["findings"].as_array().unwrap() {
            let setting = &finding["setting"];
            let offloads = setting["load"].as_str().unwrap().contains("offloaded");
            let pool = &setting["pool_threads"];
            assert_eq!(pool.as_u64(), offloads.then_some(512), "{finding:#}");
        }
    });
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
