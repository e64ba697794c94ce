//! A scrape of very many threads.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use thread_states::{InFlight, Metrics, hold, parked};

const THREADS: usize = 1_000;

/// CPU time of the exporter's thread. `make bench` requires 3 ms of a release build on an idle machine. This is neither,
/// so it only checks the order of magnitude.
const AT_MOST: Duration = Duration::from_millis(250);

/// Reads of files in a scrape after the first: about 128 looks at the 500 blocked threads, and those of the process's
/// metrics. No thread has run since, so nothing else is read of it but its CPU clock.
const MOST_READS: u64 = 180;

const MOST_SCRAPES: usize = 100;

/// Folder of the exporter's thread in `/proc`.
fn exporter() -> PathBuf {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let mut paths = tasks.map(|task| task.unwrap().path());
    let comm = |path: &Path| fs::read_to_string(path.join("comm")).unwrap_or_default();
    paths.find(|path| comm(path) == "exporter\n").unwrap()
}

/// CPU time of the exporter's thread. See "schedstat" in the kernel's `Documentation/scheduler/sched-stats.rst`.
fn cpu_time(exporter: &Path) -> Duration {
    let times = fs::read_to_string(exporter.join("schedstat")).unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// Number of `read` and `pread` calls that the exporter's thread has made; `None` on a kernel that does not count them
/// (`CONFIG_TASK_IO_ACCOUNTING`).
fn reads(exporter: &Path) -> Option<u64> {
    let io = fs::read_to_string(exporter.join("io")).ok()?;
    let count = io.lines().find_map(|line| line.strip_prefix("syscr: "))?;
    Some(count.parse().unwrap())
}

#[test]
fn a_scrape_of_a_thousand_threads_takes_milliseconds_and_few_reads() {
    let metrics = Metrics::new("many");
    let address = metrics.export("127.0.0.1:0").unwrap().address();
    let all_wait = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        // Dropped before the scope waits for the threads, also where an assertion fails.
        let mut ends = Vec::new();
        for index in 0..THREADS {
            let (end, ended) = mpsc::channel::<()>();
            let (registry, all_wait) = (metrics.threads(), &all_wait);
            let wait = move || {
                let _registration = registry.register(index, InFlight::new());
                let _parked = (index % 2 == 0).then(parked);
                let _hold = (index % 2 == 1).then(|| hold(0));
                all_wait.wait();
                let _ = ended.recv();
            };
            let thread = thread::Builder::new().stack_size(64 * 1024);
            thread.spawn_scoped(scope, wait).unwrap();
            ends.push(end);
        }
        all_wait.wait();

        let exporter = &exporter();
        let scrape = || {
            let (before, begun) = (reads(exporter), cpu_time(exporter));
            let mut response = ureq::get(format!("http://{address}/metrics"))
                .call()
                .unwrap();
            let text = response.body_mut().read_to_string().unwrap();
            let walls = text.matches("\nthread_wall_seconds_total{").count();
            assert_eq!(walls, THREADS);
            (
                cpu_time(exporter) - begun,
                reads(exporter)
                    .zip(before)
                    .map(|(now, before)| now - before),
            )
        };
        let (mut best, mut fewest) = (Duration::MAX, None);
        // At the first one, and after those in which a thread was still on its way to its wait, more is read. On a busy
        // machine that is many of them.
        for index in 0..MOST_SCRAPES {
            let (time, reads) = scrape();
            best = best.min(time);
            fewest = [fewest, reads].into_iter().flatten().min();
            if index >= 5 && fewest.is_none_or(|fewest| fewest <= MOST_READS) {
                break;
            }
        }
        assert!(best < AT_MOST, "{best:?}");
        match fewest {
            Some(fewest) => assert!(fewest <= MOST_READS, "{fewest} reads"),
            None => println!("NOT VERIFIED: the kernel does not count reads"),
        }
        println!("a scrape of {THREADS} threads took {best:?} of CPU time and {fewest:?} reads");
    });
}
