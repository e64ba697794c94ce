//! The lab as it is.

use crate::lab::Lab;
use crate::runner::{machine, perform};

fn is_confirmed(name: &str, seconds: &str) {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let found = perform(&lab, &lab.front, name, seconds);
    assert_eq!(
        (found.verdict(), found.code),
        ("confirmed", Some(0)),
        "{}: {:#?}",
        found.run["notes"],
        found.surprises()
    );
}

#[test]
fn article() {
    is_confirmed("article", "4");
}

#[test]
fn matrix() {
    is_confirmed("matrix", "6");
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
