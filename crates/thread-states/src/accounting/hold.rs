//! A hold: work for one route that occupies a thread.

use std::ops::{AddAssign, SubAssign};

use super::state::{State, Times};
use super::units::{Nanos, Timestamp};
use super::words::words;

/// Beginning of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldStart {
    /// With new work.
    New,
    /// With work that was awaiting: it ends an await that [`HoldEnd::Awaits`] began, perhaps on
    /// another thread.
    AfterAwait,
    /// With work that was awaiting and has been woken: the wake-up ended the await, and
    /// this ends the wait for a thread that began then.
    AfterWake,
}

/// End of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldEnd {
    /// The work is done.
    Done,
    /// The work now waits without the thread: this begins an await.
    Awaits,
}

/// Time during which a route's code occupied a thread, by the thread's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// On a CPU.
    pub running: Nanos,
    /// Ready to run, but without a CPU.
    pub runnable: Nanos,
    /// Off CPU.
    pub blocked: Nanos,
}

words!(Held {
    running: Nanos,
    runnable: Nanos,
    blocked: Nanos,
});

impl Held {
    /// Time in all three states.
    #[must_use]
    pub fn total(&self) -> Nanos {
        self.running + self.runnable + self.blocked
    }

    /// A hold too short to pay for reading the CPU clock, which counts as running.
    pub(super) fn running(length: Nanos) -> Self {
        Self {
            running: length,
            ..Self::default()
        }
    }

    /// Part of a window that belongs to a hold of this `length` at its end.
    ///
    /// Time before the hold counts as running: had it been long, the counters would have been read in
    /// between, and the window would begin with the hold.
    pub(super) fn within(window: &Times, length: Nanos) -> Self {
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
        Self::of_each(|state| match state {
            State::Running => held.running,
            State::Runnable => held.runnable,
            State::Blocked => held.blocked,
            State::Awaiting | State::Idle => Nanos::ZERO,
        })
    }
}

impl From<Times> for Held {
    fn from(times: Times) -> Self {
        Self {
            running: times[State::Running],
            runnable: times[State::Runnable],
            blocked: times[State::Blocked],
        }
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        self.running += other.running;
        self.runnable += other.runnable;
        self.blocked += other.blocked;
    }
}

impl SubAssign for Held {
    fn sub_assign(&mut self, other: Self) {
        self.running -= other.running;
        self.runnable -= other.runnable;
        self.blocked -= other.blocked;
    }
}

/// The part of a hold that is not accounted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenHold {
    /// Index of the route in the registry.
    pub(super) route: usize,
    /// Start of that part.
    pub(super) since: Timestamp,
}

words!(OpenHold {
    route: usize,
    since: Timestamp,
});

/// The hold of a thread, as the thread itself knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    pub(super) open: OpenHold,
    /// The part that is accounted.
    pub(super) held: Held,
    /// Number of holds that began within it and have not ended.
    pub(super) inner: usize,
}

impl Hold {
    pub(super) fn new(route: usize, now: Timestamp) -> Self {
        Self {
            open: OpenHold { route, since: now },
            held: Held::default(),
            inner: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_gets_no_more_than_its_own_length() {
        let window = Times::from([50, 200, 700, 0, 0]);
        let within = |length| Held::within(&window, Nanos::from_nanos(length));
        assert_eq!(Times::from(within(800)), Times::from([0, 100, 700, 0, 0]));
        assert_eq!(Times::from(within(950)), Times::from([50, 200, 700, 0, 0]));
    }
}
