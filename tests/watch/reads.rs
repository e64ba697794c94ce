//! Reads of files, which are what watching many threads costs. Their number does not depend on the machine.

use std::fs;
use std::thread;
use std::time::Duration;

use super::command::{PROGRAM, WatchProcess};
use super::lab::Scrape;
use super::servers::{Kind, TestServer};

/// Read system calls of the thread that watches, so far.
fn reads(watch: &WatchProcess) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", watch.pid())).unwrap();
    let mut paths = tasks.map(|task| task.unwrap().path());
    let is_watch = |comm: String| comm.trim_end() == "watch";
    let path = paths.find(|path| fs::read_to_string(path.join("comm")).is_ok_and(is_watch));
    let io = fs::read_to_string(path.unwrap().join("io")).unwrap();
    let mut lines = io.lines();
    let calls = lines.find_map(|line| line.strip_prefix("syscr: "));
    calls.unwrap().parse().unwrap()
}

/// Ticks so far.
fn ticks(watch: &WatchProcess) -> f64 {
    let scrape = Scrape::of(&watch.metrics);
    scrape.samples["threadlab_watch_reads_total{what=\"tick\"}"]
}

#[test]
fn threads_that_do_not_move_are_not_read_at_each_tick() {
    let server = TestServer::start(Kind::LargePool);
    let target = format!("pool=port:{}", server.address.port());
    let watch = WatchProcess::start(PROGRAM, &["--name", &target], None);
    // At first, all threads are read; then those that have moved in the last second.
    thread::sleep(Duration::from_millis(2_000));
    let (reads_before, ticks_before) = (reads(&watch), ticks(&watch));
    thread::sleep(Duration::from_millis(1_500));
    let (reads, ticks) = (reads(&watch) - reads_before, ticks(&watch) - ticks_before);
    // Each tick would read the counters of 101 threads. Scans, which look for new threads, read 101 files once a second.
    assert!(ticks > 5.0, "{ticks}");
    assert!(
        (reads as f64) < 20.0 * ticks + 300.0,
        "{reads} reads in {ticks} ticks"
    );
}
