//! Every workload on every kind of thread, and the table of what was demanded and measured.

use std::fs;
use std::thread;

use super::demand::{Check, Row};
use super::reference::Tracer;
use super::workloads::{self, TABLE, Workload};
use super::{alone, no_other_test};

/// Runs a workload on its kinds of threads and asserts what is demanded.
fn assert_true(workload: &'static Workload) {
    for host in workload.hosts {
        alone(|| assert_row(&Row::measure(workload, *host, "workload")));
    }
}

fn assert_row(row: &Row) {
    let (name, host) = (row.workload.name, row.host.as_str());
    assert!(row.sum_holds(), "{name} on {host}: {:?}", row.accounted);
    for check in row.checks() {
        assert!(
            check.holds(),
            "{name} on {host}: {} {check}; {:?}; {:?}; {:?}",
            check.what,
            row.accounted,
            row.own,
            row.scheduled
        );
    }
}

#[test]
fn a_pure_spin_runs() {
    assert_true(&workloads::SPIN);
}

#[test]
fn a_spin_beside_a_hog_is_runnable_as_well() {
    assert_true(&workloads::BESIDE_A_HOG);
}

#[test]
fn a_sleep_is_blocked() {
    assert_true(&workloads::SLEEP);
}

#[test]
fn a_read_of_a_silent_socket_is_blocked() {
    assert_true(&workloads::SILENT_SOCKET);
}

#[test]
fn a_futex_wait_is_blocked() {
    assert_true(&workloads::FUTEX);
}

#[test]
fn a_page_in_is_blocked_while_the_disk_reads() {
    assert_true(&workloads::PAGE_IN);
}

#[test]
fn a_wait_is_blocked_on_a_thread_and_awaits_on_a_loop() {
    assert_true(&workloads::ONE_WAIT);
}

#[test]
fn many_waits_are_one_await() {
    assert_true(&workloads::HUNDRED_WAITS);
    assert_true(&workloads::THOUSANDS_OF_WAITS);
}

#[test]
fn a_loop_without_requests_is_idle() {
    assert_true(&workloads::IDLE);
}

#[test]
fn computing_blocking_and_awaiting_in_turn_are_told_apart() {
    assert_true(&workloads::IN_TURN);
}

#[test]
fn a_hundred_thousand_marks_a_second_are_no_blocking() {
    assert_true(&workloads::MARKS);
}

#[test]
fn as_many_parks_as_can_be_are_no_blocking() {
    assert_true(&workloads::PINGS);
}

#[test]
#[ignore = "needs the machine to itself and, for the scheduler's account, root and bpftrace"]
fn accuracy() {
    let _alone = no_other_test();
    let tracer = Tracer::start();
    let reference = tracer.is_some();
    let missed = || tracer.as_ref().map_or(0, Tracer::missed);
    let (mut rows, mut traced_wholly) = (Vec::new(), Vec::new());
    for workload in TABLE {
        for host in workload.hosts {
            let before = missed();
            rows.push(Row::measure(workload, *host, &name(rows.len())));
            traced_wholly.push(missed() == before);
        }
    }
    let scheduled = tracer.map(Tracer::finish).unwrap_or_default();
    for (index, wholly) in traced_wholly.into_iter().enumerate() {
        let scheduled = scheduled.get(&name(index));
        rows[index].scheduled = scheduled.copied().filter(|_| wholly);
    }
    print_table(&rows, reference);
    rows.iter().for_each(assert_row);
}

fn name(index: usize) -> String {
    format!("truth-{index}")
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print_table(rows: &[Row], reference: bool) {
    let reference = if reference {
        "the scheduler, by bpftrace"
    } else {
        "the workload's own clocks: no bpftrace here"
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let cpus = thread::available_parallelism().unwrap();
    println!(
        "Linux {}, {cpus} CPUs; reference: {reference}\n",
        kernel.trim()
    );
    println!(
        "| workload | on | sum off by | running | runnable | blocked | awaiting, idle | on CPU and run queue |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for row in rows {
        let (name, host) = (row.workload.name, row.host.as_str());
        let mut cells: Vec<String> = row.checks().iter().map(Check::to_string).collect();
        cells.resize(5, "-".to_owned());
        let sum = row.sum_error;
        println!("| {name} | {host} | {sum:.4} | {} |", cells.join(" | "));
    }
}
