//! Limit on the reads of a thread's counters.

use super::units::{Nanos, Timestamp};

/// Counters are read at every mark while marks are few; beyond this many per second on average,
/// only at some of them. A read costs 1 to 2 µs, so this is 0.2 % of a CPU.
const READS_PER_SECOND: u64 = 1_000;
/// Reads that may follow each other at once, after a quiet time.
const READS_AT_ONCE: u64 = 8;
/// Reads of its counters that a thread may make: a token bucket, kept as the time at which
/// it will be full again (the generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Default)]
pub(super) struct ReadBudget {
    full_at: Timestamp,
}

impl ReadBudget {
    /// Takes one read, if one is left.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        const INTERVAL: Nanos = Nanos::from_nanos(1_000_000_000 / READS_PER_SECOND);
        const BURST: Nanos = Nanos::from_nanos(READS_AT_ONCE * INTERVAL.as_nanos());
        let full_at = self.full_at.max(now) + INTERVAL;
        let allowed = full_at.duration_since(now) <= BURST;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_limited_at_once_and_on_average() {
        let mut budget = ReadBudget::default();
        let mut taken = |now: u64| {
            let now = Timestamp::from_nanos(now);
            (0..100).filter(|_| budget.take(now)).count() as u64
        };
        let second = 1_000_000_000;
        assert_eq!(taken(second), READS_AT_ONCE);
        let steps = (1..=1_000).map(|step| taken(second + step * second / 1_000));
        assert_eq!(steps.sum::<u64>(), READS_PER_SECOND);
        // After a quiet time it is full again, and no fuller.
        assert_eq!(taken(10 * second), READS_AT_ONCE);
    }
}
