//! A watched server up to one moment, for metrics and the live page.

use thread_states::waits::On;
use thread_states::{Nanos, State, Timestamp};

use super::permissions::Missing;
use super::proc_files::{Pid, Tid};
use super::settle::Settled;

/// A watched server up to one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchReading {
    /// When it was made.
    pub at: Timestamp,
    /// When the server began to be watched.
    pub began: Timestamp,
    /// Threads by index, the sum of those without an index last.
    pub threads: Vec<WatchThreadReading>,
    /// Requests in flight on accepted connections.
    pub requests_in_flight: u64,
    /// Requests on connections that no thread has accepted.
    pub queued_in_accept: u64,
    /// Requests on accepted connections of which the program has read nothing.
    pub queued_unread: u64,
    /// Age of the oldest queued request; zero without one.
    pub oldest_queued: Nanos,
    /// Connections in the accept queues and the most that may be there; `None` if nothing listens.
    pub accept_queue: Option<(u64, u64)>,
    /// Data that cannot be read.
    pub missing: Vec<Missing>,
    /// At least one process of the server lives.
    pub has_processes: bool,
    /// Looks at a connection at which a request and a response fell into one kernel tick.
    pub ties: u64,
    /// Threads that were not watched because there were too many.
    pub lost_threads: u64,
}

/// A thread, or the threads that had its index one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchThreadReading {
    /// Its index among the server's threads; `None` for the sum of those without one.
    pub index: Option<usize>,
    /// Process of the thread that has the index now, or had it last.
    pub pid: Pid,
    /// Its number.
    pub tid: Tid,
    /// Its name.
    pub comm: String,
    /// Its time.
    pub settled: Settled,
    /// Its state now; `None` if it has ended or the state cannot be known.
    pub state: Option<State>,
    /// When the state began.
    pub state_since: Timestamp,
    /// Thing that the thread waits for if it is blocked.
    pub waits_on: Option<On>,
}

impl WatchThreadReading {
    /// Label `thread` of its metrics.
    #[must_use]
    pub fn label(&self) -> String {
        self.index
            .map_or("other".to_owned(), |index| index.to_string())
    }
}
