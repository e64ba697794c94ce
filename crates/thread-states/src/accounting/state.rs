//! The five states, and the time spent in each.

use std::iter::Sum;
use std::ops::{AddAssign, Index, IndexMut};

/// What a server thread is doing; at any moment it is in exactly one of these.
///
/// The words are those of Thread State Analysis (Brendan Gregg's TSA method), with its "idle"
/// split in two: <https://www.brendangregg.com/tsamethod.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// On a CPU.
    Running,
    /// Wants a CPU and has none: in the run queue, or its time is stolen by the hypervisor.
    Runnable,
    /// Off CPU while it holds a request: of no use to anyone else.
    Blocked,
    /// Parked in its event loop while requests are in flight, free to take more.
    Awaiting,
    /// Waiting for work, nothing in flight.
    Idle,
}

impl State {
    /// Every state, in the order in which reports and dashboards stack them.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Runnable,
        Self::Blocked,
        Self::Awaiting,
        Self::Idle,
    ];

    /// Its name in metrics, dashboards and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Blocked => "blocked",
            Self::Awaiting => "awaiting",
            Self::Idle => "idle",
        }
    }
}

/// Nanoseconds spent in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times([u64; State::ALL.len()]);

impl Times {
    /// The five together, in nanoseconds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Seconds in one state.
    #[must_use]
    pub fn seconds(&self, state: State) -> f64 {
        seconds(self[state])
    }

    pub(super) fn to_words(self) -> [u64; State::ALL.len()] {
        self.0
    }

    pub(super) fn from_words(words: [u64; State::ALL.len()]) -> Self {
        Self(words)
    }
}

/// Nanoseconds as seconds.
#[must_use]
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

impl Index<State> for Times {
    type Output = u64;

    fn index(&self, state: State) -> &u64 {
        &self.0[state as usize]
    }
}

impl IndexMut<State> for Times {
    fn index_mut(&mut self, state: State) -> &mut u64 {
        &mut self.0[state as usize]
    }
}

impl AddAssign for Times {
    fn add_assign(&mut self, other: Self) {
        for state in State::ALL {
            self[state] += other[state];
        }
    }
}

impl Sum for Times {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |mut sum, times| {
            sum += times;
            sum
        })
    }
}
