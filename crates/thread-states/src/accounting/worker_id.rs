//! Identity of a worker of a tokio runtime.

use tokio::runtime::{Handle, Id, worker_index};

/// One worker of one runtime. A worker can move to another thread, and keeps its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WorkerId {
    pub(super) runtime: Id,
    /// Its number in that runtime.
    pub(super) worker: usize,
}

impl WorkerId {
    /// The worker that the calling thread is at present, if it is one.
    pub(super) fn of_this_thread() -> Option<Self> {
        let runtime = Handle::try_current().ok()?.id();
        let worker = worker_index()?;
        Some(Self { runtime, worker })
    }
}
