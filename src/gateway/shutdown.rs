//! The wish to end, and who has not ended yet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// One gateway's shutdown: asked for once, heard by its threads and its connections.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    requested: AtomicBool,
    bell: Notify,
    alive: Mutex<usize>,
    ended: Condvar,
}

impl Shutdown {
    /// Asks for the end.
    pub(super) fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        self.bell.notify_waiters();
    }

    /// Whether the end was asked for.
    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Waits until the end is asked for.
    pub(super) async fn requested(&self) {
        let bell = self.bell.notified();
        // A `Notified` hears what rings after its making, so look at the flag only now.
        if !self.is_requested() {
            bell.await;
        }
    }

    /// Counts a thread as alive until the guard is dropped.
    pub(super) fn alive(self: &Arc<Self>) -> Alive {
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Alive(Arc::clone(self))
    }

    /// Waits until no thread is alive, at most `deadline`; tells whether that came true.
    pub(super) fn wait(&self, deadline: Duration) -> bool {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let (alive, _) = self
            .ended
            .wait_timeout_while(alive, deadline, |alive| *alive > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *alive == 0
    }
}

/// Counts one thread as alive.
#[derive(Debug)]
pub(super) struct Alive(Arc<Shutdown>);

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.alive.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_all();
    }
}
