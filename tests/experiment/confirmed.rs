//! Each experiment is confirmed on an unchanged lab.

use serde_json::Value;

use crate::lab::Lab;
use crate::runner::{Found, measured, perform, report_repeat};

fn is_confirmed(name: &str, seconds: &str) {
    is_confirmed_with(name, seconds, |_| ());
}

fn is_confirmed_with(name: &str, seconds: &str, check: impl Fn(&Found)) {
    is_confirmed_on(&[], name, seconds, check);
}

/// Runs an experiment on a lab with these flags, asserts that it is confirmed, and runs `check`. A contradiction is reported and must occur twice
/// to fail the test: a machine that is short of memory or disk bandwidth can cause one.
fn is_confirmed_on(flags: &[&str], name: &str, seconds: &str, check: impl Fn(&Found)) {
    measured(|| {
        let lab = Lab::start(flags);
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
        cpu_has_upper_bounds(found, 4);
    });
}

/// Asserts that every prediction about `/cpu` has an upper bound.
fn cpu_has_upper_bounds(found: &Found, count: usize) {
    let findings = found.run["findings"].as_array().unwrap().iter();
    let about_cpu = findings.filter(|finding| {
        let load = finding["setting"]["load"].as_str().unwrap();
        load.contains("cpu")
    });
    let bounds: Vec<_> = about_cpu.map(|finding| finding["high"].as_f64()).collect();
    assert_eq!(bounds.len(), count);
    assert!(bounds.iter().all(Option::is_some), "{:#}", found.run);
}

#[test]
fn drivers() {
    is_confirmed_with("drivers", "6", |found| {
        // SQLite has no asynchronous driver, and the report says so.
        let notes = found.run["notes"].to_string();
        assert!(notes.contains("SQLite"), "{notes}");
        let loads = found.run["findings"].to_string();
        assert!(loads.contains("offloaded") && !loads.contains("asynchronous"));
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
    is_confirmed_with("waiting", "1", |found| {
        let findings = found.run["findings"].as_array().unwrap();
        let observed = |quantity: &str| {
            let matches = |finding: &&Value| {
                finding["setting"]["server"] == "sync" && finding["quantity"] == quantity
            };
            findings.iter().find(matches).unwrap()["observed"].clone()
        };
        // One thread holds one request, and the other one waits in the queue.
        assert_eq!(observed("requests in flight"), 1.0);
        assert_eq!(observed("queued requests"), 1.0);
    });
}

#[test]
fn capacity() {
    is_confirmed_with("capacity", "6", |found| {
        let notes = found.run["notes"].to_string();
        assert!(notes.contains("rows 1 to 6: ") && notes.contains("CPU time per request"));
        // In one process it cannot be attributed, and earlier experiments may have allocated it.
        assert!(!notes.contains("memory"), "{notes}");
    });
}

#[test]
fn pools() {
    is_confirmed_with("pools", "2", |found| {
        // The blocking pool takes the place of the driver that SQLite does not have, and the report says so.
        let notes = found.run["notes"].to_string();
        assert!(notes.contains("SQLite"), "{notes}");
        let table = &found.run["tables"][0];
        assert_eq!(table["rows"].as_array().unwrap().len(), 7);
        assert!(table["source"].as_str().unwrap().contains("Franx"));
    });
}

#[test]
fn noisy() {
    is_confirmed_with("noisy", "5", |found| cpu_has_upper_bounds(found, 3));
}

#[test]
fn retry() {
    is_confirmed("retry", "8");
}

#[test]
fn retry_with_kept_connections() {
    // The thread accepts connections while it is free, and requests wait in them.
    is_confirmed_on(&["--keep-alive"], "retry", "1", |_| ());
}
