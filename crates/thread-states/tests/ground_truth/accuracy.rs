//! Every workload on every kind of thread, and the table of measured times and their errors.

use std::fs;
use std::thread;

use super::demand::{Check, Row};
use super::hosts::Host;
use super::reference::Tracer;
use super::workloads::{self, TABLE, Workload};
use super::{alone, no_other_test};

/// Runs a workload on its kinds of threads and asserts that the accounting is within its limits.
fn assert_accurate(workload: &'static Workload) {
    for host in workload.hosts {
        alone(|| assert_row(&Row::measure(workload, *host, "workload")));
    }
}

/// The same for a workload that hardly computes: on all kinds of threads at the same time.
fn assert_accurate_together(workload: &'static Workload) {
    alone(|| {
        let rows: Vec<Row> = thread::scope(|scope| {
            let start = |host: &Host| {
                let host = *host;
                scope.spawn(move || Row::measure(workload, host, "workload"))
            };
            let running: Vec<_> = workload.hosts.iter().map(start).collect();
            let ended = running.into_iter().map(|row| row.join().unwrap());
            ended.collect()
        });
        rows.iter().for_each(assert_row);
    });
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
fn a_pure_spin_is_running() {
    assert_accurate(&workloads::SPIN);
}

#[test]
fn a_spin_beside_a_hog_is_running_and_runnable() {
    assert_accurate(&workloads::BESIDE_A_HOG);
}

#[test]
fn a_sleep_is_blocked() {
    assert_accurate_together(&workloads::SLEEP);
}

#[test]
fn a_read_of_a_silent_socket_is_blocked() {
    assert_accurate_together(&workloads::SILENT_SOCKET);
}

#[test]
fn a_futex_wait_is_blocked() {
    assert_accurate_together(&workloads::FUTEX);
}

#[test]
fn a_page_in_is_blocked_during_the_disk_reads() {
    assert_accurate(&workloads::PAGE_IN);
}

#[test]
fn a_wait_is_blocked_on_a_thread_and_awaiting_on_an_event_loop() {
    assert_accurate_together(&workloads::ONE_WAIT);
}

#[test]
fn concurrent_waits_count_once_as_awaiting() {
    assert_accurate_together(&workloads::HUNDRED_WAITS);
    assert_accurate(&workloads::THOUSANDS_OF_WAITS);
}

#[test]
fn an_event_loop_without_requests_is_idle() {
    assert_accurate_together(&workloads::IDLE);
}

#[test]
fn alternate_computing_blocking_and_awaiting_are_distinguished() {
    assert_accurate(&workloads::IN_TURN);
}

#[test]
fn marks_at_100_000_per_second_do_not_count_as_blocked() {
    assert_accurate(&workloads::MARKS);
}

#[test]
fn parks_at_the_highest_rate_do_not_count_as_blocked() {
    assert_accurate(&workloads::PINGS);
}

#[test]
#[ignore = "needs a quiet machine and, for the scheduler's trace, root and bpftrace"]
fn accuracy() {
    let _alone = no_other_test();
    let tracer = Tracer::start();
    let reference = tracer.is_some();
    let missed = || tracer.as_ref().map_or(0, Tracer::missed);
    let (mut rows, mut complete) = (Vec::new(), Vec::new());
    for workload in TABLE {
        for host in workload.hosts {
            let before = missed();
            rows.push(Row::measure(workload, *host, &name(rows.len())));
            complete.push(missed() == before);
        }
    }
    let scheduled = tracer.map(Tracer::finish).unwrap_or_default();
    for (index, complete) in complete.into_iter().enumerate() {
        let scheduled = scheduled.get(&name(index));
        rows[index].scheduled = scheduled.copied().filter(|_| complete);
    }
    print_table(&rows, reference);
    rows.iter().for_each(assert_row);
}

fn name(index: usize) -> String {
    format!("truth-{index}")
}

#[expect(clippy::print_stdout, reason = "the table is the result")]
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
