//! Calls on tokio's blocking pool: how many wait for a thread of the pool, and for how long they did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::durations::{DurationCounts, Durations};
use super::units::Timestamp;

/// Calls of one server on blocking pools.
#[derive(Debug, Default)]
pub(crate) struct BlockingCalls {
    queued: AtomicU64,
    waits: Durations,
}

impl BlockingCalls {
    /// Number of calls that wait for a thread of the pool.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Waits of the calls that a thread of the pool has taken.
    pub(crate) fn waits(&self) -> DurationCounts {
        self.waits.read()
    }
}

/// A call that waits, until this is dropped: a runtime that shuts down drops calls that it has not started.
pub(super) struct QueuedCall {
    calls: Arc<BlockingCalls>,
    since: Timestamp,
}

impl QueuedCall {
    pub(super) fn new(calls: Arc<BlockingCalls>) -> Self {
        calls.queued.fetch_add(1, Ordering::Relaxed);
        Self {
            calls,
            since: Timestamp::now(),
        }
    }

    /// Ends the wait, because the call starts.
    pub(super) fn start(self) {
        self.calls.waits.add(self.since.elapsed());
    }
}

impl Drop for QueuedCall {
    fn drop(&mut self) {
        self.calls.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
