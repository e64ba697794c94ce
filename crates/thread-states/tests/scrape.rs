//! A scrape of very many threads.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use thread_states::{InFlight, Metrics, hold, parked};

const THREADS: usize = 1_000;

/// `make bench` requires 10 ms of a release build on an idle machine. This is neither, so it only
/// checks the order of magnitude.
const AT_MOST: Duration = Duration::from_millis(250);

#[test]
fn a_scrape_of_a_thousand_threads_takes_milliseconds() {
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

        let scrape = |_| {
            let begun = Instant::now();
            let mut response = ureq::get(format!("http://{address}/metrics"))
                .call()
                .unwrap();
            let text = response.body_mut().read_to_string().unwrap();
            let walls = text.matches("\nthread_wall_seconds_total{").count();
            assert_eq!(walls, THREADS);
            begun.elapsed()
        };
        let best = (0..5).map(scrape).min().unwrap();
        assert!(best < AT_MOST, "{best:?}");
        println!("a scrape of {THREADS} threads took {best:?}");
    });
}
