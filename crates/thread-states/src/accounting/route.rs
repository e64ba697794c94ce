//! For which route a thread works, and what each route's time came to.

use std::ops::AddAssign;

use super::state::{State, Times};

/// Nanoseconds during which a thread was held, by what it did meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// On a CPU.
    pub running: u64,
    /// Wanted a CPU and had none.
    pub runnable: u64,
    /// Off CPU, of no use to anyone else.
    pub blocked: u64,
}

impl Held {
    /// A hold too short to pay for the CPU clock counts as running.
    pub(super) fn running(nanoseconds: u64) -> Self {
        Self {
            running: nanoseconds,
            ..Self::default()
        }
    }

    /// The part of a window that belongs to a hold of `length` nanoseconds at its end. What came
    /// before the hold is short and ran: else the counters would have been read in between.
    pub(super) fn within(window: &Times, length: u64) -> Self {
        let blocked = window[State::Blocked].min(length);
        let runnable = window[State::Runnable].min(length - blocked);
        Self {
            running: length - blocked - runnable,
            runnable,
            blocked,
        }
    }
}

impl From<Held> for Times {
    fn from(held: Held) -> Self {
        let mut times = Self::default();
        times[State::Running] = held.running;
        times[State::Runnable] = held.runnable;
        times[State::Blocked] = held.blocked;
        times
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        self.running += other.running;
        self.runnable += other.runnable;
        self.blocked += other.blocked;
    }
}

/// The work for one route that holds the thread now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    /// Index of the route in the registry.
    pub(super) route: usize,
    /// Up to when it is accounted, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) since: u64,
    /// What it came to so far.
    pub(super) held: Held,
    /// Holds begun within it and not ended.
    pub(super) inner: usize,
}

impl Hold {
    pub(super) fn new(route: usize, now: u64) -> Self {
        Self {
            route,
            since: now,
            held: Held::default(),
            inner: 0,
        }
    }
}

/// What one thread spent on one route.
///
/// Awaits are kept as two sums, so that they advance while they last: with n awaits begun and not
/// ended, and Σ the times of the ends minus those of the begins, they came to Σ + n · now. An
/// await may begin on one thread and end on another, so both may be negative on either one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RouteTimes {
    pub(super) held: Held,
    awaits: i64,
    awaited: i64,
}

impl RouteTimes {
    pub(super) const WORDS: usize = 5;

    pub(super) fn begin_await(&mut self, now: u64) {
        self.awaits += 1;
        self.awaited = self.awaited.wrapping_sub_unsigned(now);
    }

    pub(super) fn end_await(&mut self, now: u64) {
        self.awaits -= 1;
        self.awaited = self.awaited.wrapping_add_unsigned(now);
    }

    /// Nanoseconds awaited up to `now`; only the sum over all threads means anything.
    pub(super) fn awaited(&self, now: u64) -> i64 {
        self.awaited
            .wrapping_add(self.awaits.wrapping_mul(now as i64))
    }

    pub(super) fn to_words(self) -> [u64; Self::WORDS] {
        let Held {
            running,
            runnable,
            blocked,
        } = self.held;
        [
            running,
            runnable,
            blocked,
            self.awaits as u64,
            self.awaited as u64,
        ]
    }

    pub(super) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [running, runnable, blocked, awaits, awaited] = words;
        let held = Held {
            running,
            runnable,
            blocked,
        };
        Self {
            held,
            awaits: awaits as i64,
            awaited: awaited as i64,
        }
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
        let (mut one, mut other) = (RouteTimes::default(), RouteTimes::default());
        one.begin_await(100);
        one.begin_await(150);
        assert_eq!(one.awaited(200), 150);
        other.end_await(250);
        let mut both = one;
        both += other;
        assert_eq!(both.awaited(300), (250 - 100) + (300 - 150));
        other.end_await(300);
        both = one;
        both += other;
        assert_eq!(both.awaited(1_000), 300);
    }

    #[test]
    fn a_hold_gets_no_more_than_its_own_length() {
        let window = Times::from_words([50, 200, 700, 0, 0]);
        assert_eq!(
            Held::within(&window, 800),
            Held {
                running: 0,
                runnable: 100,
                blocked: 700
            }
        );
        assert_eq!(
            Held::within(&window, 950),
            Held {
                running: 50,
                runnable: 200,
                blocked: 700
            }
        );
    }
}
