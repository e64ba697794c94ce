//! The worker of a tokio runtime that a thread is.
//!
//! From version 1.54 on, tokio says which one (the feature `worker-index`). Without it, a thread can still tell that it
//! is a worker: tokio calls its hooks for parking on workers only, and in a task [`owns_worker`] tells. Which thread
//! was that worker before is then found by [`handover`](super::handover).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use tokio::runtime::{Handle, Id};
use tokio::task::yield_now;

/// The worker of a runtime that a thread is at present. A worker can move to another thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) runtime: Id,
    /// Its number in that runtime, which it keeps; `None` if this tokio does not say it.
    pub(super) number: Option<usize>,
    /// Number of workers of the runtime.
    pub(super) of: usize,
}

impl Worker {
    /// The worker that the calling thread is, in a hook that tokio calls on workers only.
    pub(super) fn in_hook() -> Option<Self> {
        Self::here(|| true)
    }

    /// The worker that the calling thread is, in a task or outside of a runtime.
    pub(super) fn in_task() -> Option<Self> {
        Self::here(owns_worker)
    }

    #[cfg(feature = "worker-index")]
    fn here(_is_worker: fn() -> bool) -> Option<Self> {
        let number = tokio::runtime::worker_index()?;
        Self::of_runtime(Some(number))
    }

    #[cfg(not(feature = "worker-index"))]
    fn here(is_worker: fn() -> bool) -> Option<Self> {
        is_worker().then(|| Self::of_runtime(None)).flatten()
    }

    fn of_runtime(number: Option<usize>) -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        Some(Self {
            runtime: runtime.id(),
            number,
            of: runtime.metrics().num_workers(),
        })
    }
}

/// Returns whether the task that the calling thread polls runs on a worker. It does not on a thread of the blocking
/// pool that calls `Handle::block_on`, nor after `block_in_place` has given the worker away.
///
/// A task that yields is woken by its worker, later. Without a worker, tokio wakes it at once, because nobody else
/// would (tokio/src/runtime/context.rs and scheduler/multi_thread/worker.rs, `defer`). So this polls [`yield_now`] with
/// a waker of its own. If another version of tokio behaves differently, threads are registered at their first park, or
/// threads of the blocking pool as well.
pub(super) fn owns_worker() -> bool {
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let polled = pin!(yield_now()).poll(&mut Context::from_waker(&waker));
    polled.is_pending() && !woken.0.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::task::{LocalSet, block_in_place, spawn_blocking};

    use super::*;

    #[test]
    fn a_task_of_a_worker_owns_it_until_it_is_given_away() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let owns = runtime.block_on(runtime.spawn(async {
            let before = owns_worker();
            let (within, taken) = block_in_place(|| {
                let within = owns_worker();
                // The only worker goes on with this on another thread.
                let (sender, receiver) = std::sync::mpsc::channel();
                tokio::spawn(async move { sender.send(owns_worker()) });
                (within, receiver.recv().unwrap())
            });
            // Without the worker until this poll ends.
            let after = owns_worker();
            yield_now().await;
            [before, within, taken, after, owns_worker()]
        }));
        assert_eq!(owns.unwrap(), [true, false, true, false, true]);
    }

    #[test]
    fn only_workers_own_one() {
        assert!(!owns_worker());
        let multi = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        assert!(!multi.block_on(async { owns_worker() }));
        let on_pool = multi.block_on(async {
            let handle = Handle::current();
            spawn_blocking(move || [owns_worker(), handle.block_on(async { owns_worker() })]).await
        });
        assert_eq!(on_pool.unwrap(), [false; 2]);
        let current = Builder::new_current_thread().build().unwrap();
        assert!(current.block_on(async { owns_worker() }));
        assert!(LocalSet::new().block_on(&current, async { owns_worker() }));
    }

    #[test]
    fn a_worker_knows_its_runtime_and_the_number_of_its_workers() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let here = || Worker::in_task().map(|worker| (worker.runtime, worker.of));
        let found = runtime.block_on(runtime.spawn(async move { here() }));
        assert_eq!(found.unwrap(), Some((runtime.handle().id(), 2)));
        assert_eq!(here(), None);
    }
}
