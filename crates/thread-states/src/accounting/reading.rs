//! Result of a reading: the times of a server's threads and routes.

use std::collections::BTreeMap;

use super::hold::Held;
use super::kernel::OsThread;
use super::state::{State, Times};
use super::units::{Nanos, Timestamp};
use crate::waits::On;

/// Times of one server up to now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// Every thread index that was ever in use, in ascending order.
    pub threads: Vec<ThreadReading>,
    /// Every route, in the order of `Registry::routes`.
    pub routes: Vec<RouteReading>,
}

impl Reading {
    /// Present state of each living thread, by index.
    #[must_use]
    pub fn states(&self) -> BTreeMap<usize, State> {
        let threads = self.threads.iter();
        threads
            .filter_map(|thread| Some((thread.index, thread.state?)))
            .collect()
    }
}

/// Times of the threads of one index up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadReading {
    /// Index among the server's threads.
    pub index: usize,
    /// The living thread that has this index, if there is one.
    pub os_thread: Option<OsThread>,
    /// Present state, from the same moment as the times; `None` if no living thread has this index.
    ///
    /// [`State::Running`] also stands for waiting for a CPU: at one moment, the kernel does not tell
    /// the two apart.
    pub state: Option<State>,
    /// When the present state began, as far as readings show it: if the thread entered it several times since the
    /// last reading, it may have begun later than this. `None` if no living thread has this index.
    pub state_since: Option<Timestamp>,
    /// Thing that the thread waits for if it is blocked; [`On::Other`] also stands for what cannot be known.
    pub waits_on: Option<On>,
    /// Time since the registration; summed up over the threads that had this index. Time of which it is not known
    /// yet whether the thread was blocked or waited for a CPU is missing until a later reading decides; that is at
    /// most the time since the reading before, of a thread that gets a CPU now and then.
    pub wall: Nanos,
    /// Time in each state; they sum to `wall`.
    pub times: Times,
    /// Blocked time by what was waited for, in the order of [`On::ALL`]; the parts sum to the blocked time. What
    /// a block was for is read when a reading finds the thread in it, and blocks that no reading found count as
    /// what the thread was last found to wait for within 60 s, or else as [`On::Other`].
    pub blocked_on: [Nanos; On::ALL.len()],
}

/// Times of one route up to now, over all threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteReading {
    /// Time during which its code occupied a thread.
    pub held: Held,
    /// Time during which its requests waited for something else than a thread, summed up over the
    /// requests.
    pub awaited: Nanos,
    /// Time during which its requests waited for a thread after a wake-up, summed up over the requests.
    pub ready: Nanos,
}
