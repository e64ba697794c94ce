//! The five states, and the time spent in each.

use std::iter::Sum;
use std::ops::{AddAssign, Index, IndexMut};

use super::units::Nanos;
use super::words::Words;

/// Activity of a server thread. A thread is in exactly one state at any moment.
///
/// The terms are those of Thread State Analysis (Brendan Gregg's TSA method), with its "idle"
/// split in two: <https://www.brendangregg.com/tsamethod.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// On a CPU.
    Running,
    /// Ready to run, but without a CPU: in the run queue, or its time is stolen by the hypervisor.
    Runnable,
    /// Off CPU while it holds a request, so that it can do no other work.
    Blocked,
    /// Parked in its event loop while requests are in flight, free to take more.
    Awaiting,
    /// Waiting for work, with nothing in flight.
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

    /// Name of the state in metrics, dashboards and events.
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

/// Time spent in each state, indexed by [`State`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times([Nanos; State::ALL.len()]);

impl Times {
    /// Sum of the five.
    #[must_use]
    pub fn total(&self) -> Nanos {
        self.0.into_iter().sum()
    }

    /// Time in one state, in seconds.
    #[must_use]
    pub fn seconds(&self, state: State) -> f64 {
        self[state].as_secs_f64()
    }

    /// The times that `time` returns for each state.
    pub(super) fn of_each(time: impl FnMut(State) -> Nanos) -> Self {
        Self(State::ALL.map(time))
    }
}

impl Words for Times {
    const COUNT: usize = State::ALL.len();

    #[inline]
    fn encode(&self, words: &mut [u64]) {
        for (word, time) in words.iter_mut().zip(self.0) {
            *word = time.as_nanos();
        }
    }

    fn decode(words: &mut impl Iterator<Item = u64>) -> Self {
        Self::of_each(|_| Nanos::decode(words))
    }
}

impl Index<State> for Times {
    type Output = Nanos;

    fn index(&self, state: State) -> &Nanos {
        &self.0[state as usize]
    }
}

impl IndexMut<State> for Times {
    fn index_mut(&mut self, state: State) -> &mut Nanos {
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

/// Times of so many nanoseconds, in the order of [`State::ALL`].
#[cfg(test)]
impl From<[u64; State::ALL.len()]> for Times {
    fn from(nanoseconds: [u64; State::ALL.len()]) -> Self {
        Self(nanoseconds.map(Nanos::from_nanos))
    }
}
