//! Time that one thread spent on one route.

use std::ops::{AddAssign, SubAssign};

use super::hold::Held;
use super::units::Timestamp;
use super::words::words;

/// Time that one thread spent on one route.
///
/// A wait may begin on one thread and end on another, so the sums of one thread mean nothing alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RouteTimes {
    pub(super) held: Held,
    /// Waits without a thread, for something else.
    pub(super) awaits: Waits,
    /// Waits for a thread: from the wake-up to the next poll.
    pub(super) readies: Waits,
}

words!(RouteTimes {
    held: Held,
    awaits: Waits,
    readies: Waits,
});

impl RouteTimes {
    /// Ends an await at the time of its wake-up: from then on the work waits for a thread.
    pub(super) fn wake(&mut self, now: Timestamp) {
        self.awaits.end(now);
        self.readies.begin(now);
    }
}

impl AddAssign for RouteTimes {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.awaits += other.awaits;
        self.readies += other.readies;
    }
}

impl SubAssign for RouteTimes {
    fn sub_assign(&mut self, other: Self) {
        self.held -= other.held;
        self.awaits -= other.awaits;
        self.readies -= other.readies;
    }
}

/// Waits of one kind, kept as two sums so that they advance while they last: with n waits begun and not
/// ended, and Σ the times of the ends minus those of the begins, their total is Σ + n · now. Both may be
/// negative on a thread on which more waits end than begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waits {
    open: i64,
    /// In nanoseconds.
    sum: i64,
}

words!(Waits {
    open: i64,
    sum: i64,
});

impl Waits {
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.open += 1;
        self.sum = self.sum.wrapping_sub_unsigned(now.as_nanos());
    }

    pub(super) fn end(&mut self, now: Timestamp) {
        self.open -= 1;
        self.sum = self.sum.wrapping_add_unsigned(now.as_nanos());
    }

    /// Nanoseconds waited up to `now`; only the sum over all threads means anything.
    pub(super) fn until(&self, now: Timestamp) -> i64 {
        let now = now.as_nanos() as i64;
        self.sum.wrapping_add(self.open.wrapping_mul(now))
    }
}

impl AddAssign for Waits {
    fn add_assign(&mut self, other: Self) {
        self.open += other.open;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl SubAssign for Waits {
    fn sub_assign(&mut self, other: Self) {
        self.open -= other.open;
        self.sum = self.sum.wrapping_sub(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_advances_while_it_lasts_and_may_end_on_another_thread() {
        let at = Timestamp::from_nanos;
        let (mut one, mut other) = (RouteTimes::default(), RouteTimes::default());
        one.awaits.begin(at(100));
        one.awaits.begin(at(150));
        assert_eq!(one.awaits.until(at(200)), 150);
        other.awaits.end(at(250));
        let mut both = one;
        both += other;
        assert_eq!(both.awaits.until(at(300)), (250 - 100) + (300 - 150));
        other.awaits.end(at(300));
        both = one;
        both += other;
        assert_eq!(both.awaits.until(at(1_000)), 300);
    }

    #[test]
    fn a_wake_up_divides_a_wait() {
        let at = Timestamp::from_nanos;
        let (mut one, mut other) = (RouteTimes::default(), RouteTimes::default());
        one.awaits.begin(at(100));
        other.wake(at(130));
        one.readies.end(at(200));
        let mut both = one;
        both += other;
        let now = at(1_000);
        assert_eq!((both.awaits.until(now), both.readies.until(now)), (30, 70));
    }
}
