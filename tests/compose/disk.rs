//! A Prometheus whose disk is full: it stays ready and healthy, and responds from old data.

use std::thread;
use std::time::Duration;

use crate::eventually;
use crate::prometheus::Prometheus;
use crate::stack::Stack;

/// The doctor reports samples that are older. The same number is in `scripts/doctor`.
const OLD: Duration = Duration::from_secs(30);

/// Output of the doctor about samples, without the state of the services that do not run here.
fn samples_by_the_doctor(stack: &Stack) -> Option<String> {
    let output = stack.script("scripts/doctor").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut lines = printed.lines();
    lines
        .find(|line| line.contains("sample"))
        .map(str::to_owned)
}

pub fn a_prometheus_with_a_full_disk_is_found_by_the_doctor() {
    let mut stack = Stack::named("disk");
    stack.add_file("tests/compose/small_disk.yml");
    stack.compose(&["up", "--detach", "--wait", "prometheus"]);
    let prometheus = Prometheus::at(stack.url("prometheus", 9090));
    let age = || prometheus.number("time() - max(timestamp(up))");
    eventually("Prometheus stores samples", || {
        age() < Some(3.0) && age().is_some()
    });
    let line = samples_by_the_doctor(&stack).unwrap();
    assert!(line.starts_with("ok"), "{line}");

    let shell = |command| stack.exec("prometheus", &["sh", "-c", command]);
    assert!(
        !shell("cat /dev/zero >/prometheus/fill"),
        "the disk is not full"
    );
    thread::sleep(OLD + Duration::from_secs(3));
    let line = samples_by_the_doctor(&stack).unwrap();
    assert!(
        line.starts_with("FAULT") && line.contains("newest sample"),
        "{line}"
    );
    let health = &stack.containers(&["prometheus"])[0]["State"]["Health"]["Status"];
    assert_eq!(
        health, "healthy",
        "its own check sees the fault, so the doctor need not"
    );

    assert!(shell("rm /prometheus/fill"));
    eventually("Prometheus stores samples again", || {
        age() < Some(3.0) && age().is_some()
    });
}
