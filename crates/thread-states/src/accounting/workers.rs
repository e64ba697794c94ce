//! The worker threads of a tokio runtime, which register themselves.
//!
//! A worker does not stay on one thread: in `block_in_place` the thread hands the worker to another one
//! and goes on as a thread of the blocking pool, and tokio calls no hook for it
//! (tokio/src/runtime/scheduler/multi_thread/worker.rs, `block_in_place`). The other thread *replaces*
//! the first one when it first marks something; from then on the time of the first one no longer
//! counts. With the feature `worker-index`, tokio says which worker each of the two is; without it,
//! `handover` finds the first one.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::runtime::Builder;

use super::clock::{self, Clock};
use super::registry::Registry;
use super::units::Timestamp;
use super::worker::Worker;

thread_local! {
    /// Set on every thread that a runtime with [`Workers`] has started, those of its blocking pool
    /// included.
    static STARTED: RefCell<Option<Started>> = const { RefCell::new(None) };
}

/// Start of a runtime's thread.
#[derive(Debug)]
struct Started {
    workers: Workers,
    at: Timestamp,
}

/// Hooks that register the workers of tokio runtimes, and mark where they park.
///
/// For applications with hooks of their own; all others call [`Registry::instrument`]. tokio keeps
/// one callback per hook, the last one set, so theirs has to call these:
///
/// ```
/// use thread_states::Registry;
///
/// let workers = Registry::new("shop", []).workers();
/// let (started, parks, unparks) = (workers.clone(), workers.clone(), workers);
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .on_thread_start(move || {
///         // The application's own code comes here, and in the others.
///         started.thread_started();
///     })
///     .on_thread_park(move || parks.park())
///     .on_thread_unpark(move || unparks.unpark())
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Workers {
    registry: Registry,
}

impl Workers {
    /// Has to be called from `on_thread_start`. tokio starts threads of the blocking pool in the same
    /// way as workers, so a thread is registered only when it proves to be a worker, as from its start.
    pub fn thread_started(&self) {
        let started = Started {
            workers: self.clone(),
            at: Timestamp::now(),
        };
        let _ = STARTED.try_with(|here| here.replace(Some(started)));
    }

    /// Has to be called from `on_thread_park`.
    pub fn park(&self) {
        self.mark(Clock::park);
    }

    /// Has to be called from `on_thread_unpark`.
    pub fn unpark(&self) {
        self.mark(Clock::unpark);
    }

    fn mark(&self, mark: fn(&mut Clock)) {
        let marked = clock::with(|clock| {
            // A thread may drive one runtime after the other.
            let ours = Arc::ptr_eq(clock.in_flight(), self.registry.in_flight());
            let counts = ours && clock.counts();
            if counts {
                mark(clock);
            }
            counts
        });
        if !marked.unwrap_or(false) {
            if let Some(worker) = Worker::in_hook() {
                let started = STARTED.try_with(|here| here.borrow().as_ref().map(|start| start.at));
                self.registry
                    .register_worker(worker, started.ok().flatten());
            }
            clock::with(mark);
        }
    }

    fn set_hooks(self, builder: &mut Builder) {
        let (started, parks, unparks) = (self.clone(), self.clone(), self);
        builder
            .on_thread_start(move || started.thread_started())
            .on_thread_park(move || parks.park())
            .on_thread_unpark(move || unparks.unpark());
    }
}

/// Registers the calling thread if it is the worker of a runtime with [`Workers`] and has not marked
/// anything yet.
pub(super) fn register_this_thread() {
    // A thread of the blocking pool is not a worker, so this does nothing there.
    let _ = STARTED.try_with(|here| {
        let here = here.borrow();
        if let Some((Started { workers, at }, worker)) = here.as_ref().zip(Worker::in_task()) {
            workers.registry.register_worker(worker, Some(*at));
        }
    });
}

/// Registers the calling thread again, at the end of a hold, if another thread has replaced it although it has kept its
/// worker: see [`handover`](super::handover).
pub(super) fn register_again_if_replaced() {
    // Where tokio says which worker a thread is, this does not happen.
    if cfg!(feature = "worker-index") || clock::with(|clock| clock.counts()).unwrap_or(true) {
        return;
    }
    let _ = STARTED.try_with(|here| {
        let here = here.borrow();
        if let Some((Started { workers, .. }, worker)) = here.as_ref().zip(Worker::in_task()) {
            workers.registry.register_worker_again(worker);
        }
    });
}

impl Registry {
    /// Makes the workers of the runtime that `builder` builds register themselves, and marks where
    /// they park; together they serve the requests of [`Self::in_flight`]. Works for current-thread
    /// and multi-thread runtimes.
    ///
    /// ```
    /// use thread_states::Registry;
    ///
    /// let registry = Registry::new("shop", []);
    /// let mut builder = tokio::runtime::Builder::new_multi_thread();
    /// registry.instrument(&mut builder);
    /// let runtime = builder.enable_all().build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// A worker's index is the number that tokio gave it, or the lowest free one if a thread of another runtime has
    /// that, or without the feature `worker-index`. A worker is registered when it first parks or works for a route, as
    /// from the start of its thread, until its thread ends; the thread that drives a current-thread runtime from its
    /// first park until it ends. Threads of the blocking pool are not registered, nor is the one that waits in
    /// `block_on` of a multi-thread runtime.
    ///
    /// This sets `on_thread_start`, `on_thread_park` and `on_thread_unpark`, and replaces earlier
    /// callbacks: tokio keeps one for each. An application that has others calls [`Workers`] from
    /// them.
    ///
    /// In `block_in_place` a worker moves to another thread, and tokio calls no hook. Until that
    /// thread first parks or works for a route, the thread that blocks is reported in its place. Without
    /// the feature `worker-index`, if several workers are busy at that moment, it may instead replace one of the
    /// others, until that one finishes the request that it polls, or parks.
    pub fn instrument(&self, builder: &mut Builder) {
        self.workers().set_hooks(builder);
    }

    /// Returns the hooks that [`Self::instrument`] sets, for applications with hooks of their own.
    #[must_use]
    pub fn workers(&self) -> Workers {
        Workers {
            registry: self.clone(),
        }
    }
}
