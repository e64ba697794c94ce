//! The signal that ends a gateway.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio_util::sync::CancellationToken;

/// Signal that ends a gateway. Clones are of the same signal.
///
/// A [`CancellationToken`] that threads read without its lock: they do so for each request.
#[derive(Debug, Clone, Default)]
pub(super) struct Shutdown {
    flag: ShutdownFlag,
    token: CancellationToken,
}

/// Flag that the signal sets, for code that does not wait for it. Clones are of the same flag.
#[derive(Debug, Clone, Default)]
pub(super) struct ShutdownFlag(Arc<AtomicBool>);

impl ShutdownFlag {
    /// Returns whether the signal was given.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Shutdown {
    /// The same signal for one thread, whose futures lock a token of their own.
    pub(super) fn of_thread(&self) -> Self {
        Self {
            flag: self.flag.clone(),
            token: self.token.child_token(),
        }
    }

    /// Gives the signal.
    pub(super) fn cancel(&self) {
        // First: tasks that the token wakes read it.
        self.flag.0.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Returns whether the signal was given.
    pub(super) fn is_cancelled(&self) -> bool {
        self.flag.is_set()
    }

    /// The flag alone.
    pub(super) fn flag(&self) -> ShutdownFlag {
        self.flag.clone()
    }

    /// Waits for the signal. To be polled by one task only.
    ///
    /// The waker of a task stays the same, so that it is registered only once, which takes two locks. Each further poll
    /// takes one load, and a connection polls this once for each request.
    pub(super) async fn cancelled(&self) {
        let (mut cancelled, mut is_registered) = (pin!(self.token.cancelled()), false);
        poll_fn(|cx| {
            if is_registered && !self.is_cancelled() {
                return Poll::Pending;
            }
            is_registered = true;
            cancelled.as_mut().poll(cx)
        })
        .await;
    }

    /// Runs a future to its end, or until the signal is given.
    pub(super) async fn run_until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        self.token.run_until_cancelled(future).await
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Wake};

    use super::*;

    /// Notes that it was woken.
    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_signal_wakes_the_task_that_has_polled_several_times() {
        let shutdown = Shutdown::default();
        let of_thread = shutdown.of_thread();
        let task = Arc::new(Task::default());
        let waker = Arc::clone(&task).into();
        let cx = &mut Context::from_waker(&waker);
        let mut cancelled = pin!(of_thread.cancelled());
        for _ in 0..3 {
            assert!(cancelled.as_mut().poll(cx).is_pending());
        }
        assert!(!of_thread.is_cancelled() && !task.0.load(Ordering::Relaxed));
        shutdown.cancel();
        assert!(of_thread.is_cancelled() && task.0.load(Ordering::Relaxed));
        assert!(cancelled.poll(cx).is_ready());
    }
}
