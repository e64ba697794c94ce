//! Memory for the connections of the asynchronous gateway.
//!
//! With a small head, a connection needs about 22 KiB: hyper's two buffers of 8 KiB, and the futures of
//! the connection and the app. The kernel's socket adds about 5 KiB. A large head needs a multiple, so the
//! number of those is limited separately. Everything is read in small steps, because hyper doubles its
//! buffer after each read that fills it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest head for which each connection has memory, in bytes. It is also the size of hyper's buffer at
/// first, and stays so if no read fills it.
pub(super) const SMALL_HEAD: usize = 8 * 1024;

/// Longest read, in bytes: less than hyper's buffer.
pub(super) const LONGEST_READ: usize = SMALL_HEAD - 1;

/// Limit on the large heads of a gateway. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct LargeHeads(Arc<Semaphore>);

/// Permission to hold a large head.
pub(super) type LargeHead = OwnedSemaphorePermit;

impl LargeHeads {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))))
    }

    /// Returns the permission to hold one more, if there are not too many.
    pub(super) fn hold(&self) -> Option<LargeHead> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}
