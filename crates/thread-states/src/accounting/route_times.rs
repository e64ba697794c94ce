//! Time that one thread spent on one route.

use std::ops::AddAssign;

use super::hold::Held;
use super::units::Timestamp;
use super::words::words;

/// Time that one thread spent on one route.
///
/// Awaits are kept as two sums, so that they advance while they last: with n awaits begun and not
/// ended, and Σ the times of the ends minus those of the begins, their total is Σ + n · now. An
/// await may begin on one thread and end on another, so both sums may be negative on either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RouteTimes {
    pub(super) held: Held,
    awaits: i64,
    /// In nanoseconds.
    awaited: i64,
}

words!(RouteTimes {
    held: Held,
    awaits: i64,
    awaited: i64,
});

impl RouteTimes {
    pub(super) fn begin_await(&mut self, now: Timestamp) {
        self.awaits += 1;
        self.awaited = self.awaited.wrapping_sub_unsigned(now.as_nanos());
    }

    pub(super) fn end_await(&mut self, now: Timestamp) {
        self.awaits -= 1;
        self.awaited = self.awaited.wrapping_add_unsigned(now.as_nanos());
    }

    /// Nanoseconds awaited up to `now`; only the sum over all threads means anything.
    pub(super) fn awaited(&self, now: Timestamp) -> i64 {
        let now = now.as_nanos() as i64;
        self.awaited.wrapping_add(self.awaits.wrapping_mul(now))
    }
}

impl AddAssign for RouteTimes {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.awaits += other.awaits;
        self.awaited = self.awaited.wrapping_add(other.awaited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_await_advances_while_it_lasts_and_may_end_on_another_thread() {
        let at = Timestamp::from_nanos;
        let (mut one, mut other) = (RouteTimes::default(), RouteTimes::default());
        one.begin_await(at(100));
        one.begin_await(at(150));
        assert_eq!(one.awaited(at(200)), 150);
        other.end_await(at(250));
        let mut both = one;
        both += other;
        assert_eq!(both.awaited(at(300)), (250 - 100) + (300 - 150));
        other.end_await(at(300));
        both = one;
        both += other;
        assert_eq!(both.awaited(at(1_000)), 300);
    }
}
