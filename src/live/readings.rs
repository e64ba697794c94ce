//! The source of what the live page shows: a server of this process, or a watched one of another process.

use std::fmt::Debug;

use thread_states::waits::On;
use thread_states::{Registry, RequestLog, Routes, State, Times, Timestamp};

use crate::metrics::{AcceptQueue, Probe, RequestQueue};

/// A server whose threads can be read at any moment.
pub trait Readings: Debug + Send + Sync {
    /// Name of the server.
    fn server(&self) -> &str;

    /// Time at which the accounting started: another value means that all counters started again.
    fn began(&self) -> Timestamp;

    /// Its threads, in the order in which they are shown.
    fn threads(&self) -> Vec<ThreadNow>;

    /// Number of requests in flight.
    fn requests_in_flight(&self) -> u64;

    /// Connections that wait to be accepted; `None` if the kernel does not report it.
    fn accept_queue(&self) -> Option<AcceptQueue>;

    /// Requests that no thread has taken yet; `None` if the kernel does not report them.
    fn request_queue(&self) -> Option<RequestQueue>;

    /// The latest requests and the names of their routes; `None` if single requests cannot be seen.
    fn request_log(&self) -> Option<(&RequestLog, &Routes)>;
}

/// A thread at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadNow {
    /// Label `thread` of its metrics.
    pub label: String,
    /// Present state; `None` once the thread has ended, or if the state is not known.
    pub state: Option<State>,
    /// Time at which the present state began; `None` without one.
    pub since: Option<Timestamp>,
    /// Thing that the thread waits for if it is blocked.
    pub on: Option<On>,
    /// Time in each state.
    pub times: Times,
}

/// A server of this process.
#[derive(Debug)]
pub(super) struct OwnServer {
    pub(super) registry: Registry,
    /// `None` if the server has no queue that can be read.
    pub(super) accept_queue: Option<Probe<AcceptQueue>>,
    /// `None` if its queued requests cannot be read.
    pub(super) request_queue: Option<Probe<RequestQueue>>,
}

impl Readings for OwnServer {
    fn server(&self) -> &str {
        self.registry.server()
    }

    fn began(&self) -> Timestamp {
        self.registry.began()
    }

    fn threads(&self) -> Vec<ThreadNow> {
        let threads = self.registry.read().threads.into_iter();
        let now = threads.map(|thread| ThreadNow {
            label: thread.index.to_string(),
            state: thread.state,
            since: thread.state_since,
            on: thread.waits_on,
            times: thread.times,
        });
        now.collect()
    }

    fn requests_in_flight(&self) -> u64 {
        self.registry.requests_in_flight()
    }

    fn accept_queue(&self) -> Option<AcceptQueue> {
        self.accept_queue.as_ref().and_then(Probe::read)
    }

    fn request_queue(&self) -> Option<RequestQueue> {
        self.request_queue.as_ref().and_then(Probe::read)
    }

    fn request_log(&self) -> Option<(&RequestLog, &Routes)> {
        Some((self.registry.request_log(), self.registry.routes()))
    }
}
