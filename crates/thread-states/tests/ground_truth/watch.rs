//! What the accounting says while a workload runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use thread_states::{Nanos, Registry, State, ThreadReading, Times};

/// What the states gained between two readings.
pub(crate) fn gains(before: &ThreadReading, after: &ThreadReading) -> Times {
    let mut times = Times::default();
    for state in State::ALL {
        times[state] = after.times[state] - before.times[state];
    }
    times
}

/// Reads thread 0 of the registry 100 times a second until `done`, and asserts that no state ever
/// decreases. Returns by what part of the wall time the states were off it at the worst.
pub(crate) fn watch(registry: &Registry, done: &AtomicBool) -> f64 {
    let read = || registry.read().threads[0];
    let (mut last, mut sum_error) = (read(), 0.0_f64);
    while !done.load(Ordering::Acquire) {
        let next = read();
        for state in State::ALL {
            assert!(
                next.times[state] >= last.times[state],
                "{state:?} decreased: {next:?} after {last:?}"
            );
        }
        let [total, wall] = [next.times.total(), next.wall].map(Nanos::as_secs_f64);
        sum_error = sum_error.max((total - wall).abs() / wall);
        last = next;
        thread::sleep(Duration::from_millis(10));
    }
    sum_error
}

/// Stores true when it is dropped, also by a panic, so that who waits for it does not wait for ever.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
