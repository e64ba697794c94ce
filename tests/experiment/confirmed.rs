//! The lab as it is.

use crate::lab::Lab;
use crate::runner::{Found, machine, perform, say_again};

/// A machine that is short of disk or memory can surprise once, in ways that no run can tell from
/// a fault of the lab; so a surprise is said, and has to come twice.
fn is_confirmed(name: &str, seconds: &str) -> Found {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let mut found = perform(&lab, &lab.front, name, seconds);
    if found.verdict() == "contradicted" {
        say_again(name, &found);
        found = perform(&lab, &lab.front, name, seconds);
    }
    assert_eq!(
        (found.verdict(), found.code),
        ("confirmed", Some(0)),
        "{}: {:#?}",
        found.run["notes"],
        found.surprises()
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
    // Beside each number stands the pool where the load uses it, and only there.
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
