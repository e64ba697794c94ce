//! Durations, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering};

use super::units::Nanos;

/// Number of bounds. Not `DURATION_BOUNDS.len()` in types, which an optimizing rustc 1.95 rejects as a
/// cycle (E0391): it would need the code of `Nanos::from_millis` to compute a type.
const BOUNDS: usize = 11;
/// Upper bounds of the buckets, from 1 ms to 60 s. What is longer is in none of them.
pub(crate) const DURATION_BOUNDS: [Nanos; BOUNDS] = [
    Nanos::from_millis(1),
    Nanos::from_millis(5),
    Nanos::from_millis(20),
    Nanos::from_millis(100),
    Nanos::from_millis(500),
    Nanos::from_secs(1),
    Nanos::from_secs(2),
    Nanos::from_secs(5),
    Nanos::from_secs(10),
    Nanos::from_secs(30),
    Nanos::from_secs(60),
];

/// Durations of one kind.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// One for each bound, and one for longer durations.
    buckets: [AtomicU64; BOUNDS + 1],
    nanoseconds: AtomicU64,
}

/// Durations of one kind so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DurationCounts {
    /// Number of durations up to each bound, shorter ones included.
    pub(crate) cumulative: [u64; BOUNDS],
    /// Number of all durations.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: Nanos,
}

impl Durations {
    pub(super) fn add(&self, time: Nanos) {
        let bucket = DURATION_BOUNDS.partition_point(|bound| *bound < time);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds
            .fetch_add(time.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> DurationCounts {
        let mut count = 0;
        let mut cumulative = [0; BOUNDS];
        for (index, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            if let Some(cumulative) = cumulative.get_mut(index) {
                *cumulative = count;
            }
        }
        DurationCounts {
            cumulative,
            count,
            sum: Nanos::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}
