//! Result of a reading: the times of a server's threads and routes.

use std::collections::BTreeMap;

use super::hold::Held;
use super::kernel::OsThread;
use super::state::{State, Times};
use super::units::Nanos;

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
    /// Time since the registration; summed up over the threads that had this index.
    pub wall: Nanos,
    /// Time in each state; they sum to `wall`.
    pub times: Times,
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
