//! Readings of the accounting while a workload runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use thread_states::{Nanos, Registry, State, ThreadReading, Times, Timestamp};

/// The increase of each state between two readings.
pub(crate) fn gains(before: &ThreadReading, after: &ThreadReading) -> Times {
    let mut times = Times::default();
    for state in State::ALL {
        times[state] = after.times[state] - before.times[state];
    }
    times
}

/// Asserts of two readings of a thread, one after the other, that no state has decreased, nor any part of the blocked time,
/// that the parts sum to it, and that the present state began before the reading.
pub(crate) fn check_next(last: &ThreadReading, next: &ThreadReading) {
    for state in State::ALL {
        assert!(
            next.times[state] >= last.times[state],
            "{state:?} decreased: {next:?} after {last:?}"
        );
    }
    let mut parts = next.blocked_on.iter().zip(last.blocked_on);
    assert!(
        parts.all(|(next, last)| *next >= last),
        "{next:?} after {last:?}"
    );
    let blocked: Nanos = next.blocked_on.into_iter().sum();
    assert_eq!(blocked, next.times[State::Blocked]);
    assert!(next.state_since <= Some(Timestamp::now()));
    assert_eq!(next.state.is_some(), next.state_since.is_some());
    let is_blocked = next.state == Some(State::Blocked);
    assert_eq!(next.waits_on.is_some(), is_blocked, "{next:?}");
}

/// Reads thread 0 of the registry 100 times a second until `done`, and checks each reading ([`check_next`]). Returns
/// the largest difference between the states' sum and the wall time, as a part of the wall time.
pub(crate) fn watch(registry: &Registry, done: &AtomicBool) -> f64 {
    let read = || registry.read().threads[0];
    let (mut last, mut sum_error) = (read(), 0.0_f64);
    while !done.load(Ordering::Acquire) {
        let next = read();
        check_next(&last, &next);
        let [total, wall] = [next.times.total(), next.wall].map(Nanos::as_secs_f64);
        sum_error = sum_error.max((total - wall).abs() / wall);
        last = next;
        thread::sleep(Duration::from_millis(10));
    }
    sum_error
}

/// Sets the flag when dropped, even by a panic, so that a thread that waits for it never waits forever.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
