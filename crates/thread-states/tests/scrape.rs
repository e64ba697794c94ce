//! A scrape of very many threads.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use thread_states::Metrics;
use thread_states::{self, InFlight};

const THREADS: usize = 1_000;

/// `make bench` demands 10 ms of a release build on a machine that does nothing else. This is neither, so
/// it only sees to the order of magnitude.
const AT_MOST: Duration = Duration::from_millis(250);

#[test]
fn a_scrape_of_a_thousand_threads_takes_milliseconds() {
    let metrics = Metrics::new("many").unwrap();
    let address = metrics.export("127.0.0.1:0").unwrap();
    let all_wait = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        // Dropped before the scope waits for the threads, also where an assertion fails.
        let mut ends = Vec::new();
        for index in 0..THREADS {
            let (end, ended) = mpsc::channel::<()>();
            let (registry, all_wait) = (metrics.threads(), &all_wait);
            let wait = move || {
                let _registration = registry.register(index, InFlight::new());
                match index % 2 {
                    0 => thread_states::park(),
                    _ => thread_states::hold(0, false),
                }
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
            let mut answer = ureq::get(format!("http://{address}/metrics"))
                .call()
                .unwrap();
            let text = answer.body_mut().read_to_string().unwrap();
            let walls = text.matches("\nthread_wall_seconds_total{").count();
            assert_eq!(walls, THREADS);
            begun.elapsed()
        };
        let best = (0..5).map(scrape).min().unwrap();
        assert!(best < AT_MOST, "{best:?}");
        println!("a scrape of {THREADS} threads took {best:?}");
    });
}
