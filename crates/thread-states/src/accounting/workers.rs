//! The worker threads of a tokio runtime, which register themselves.
//!
//! Runtime and worker are what tokio tells of the thread that calls a hook. A worker is not a thread
//! for ever: in `block_in_place` its thread gives the worker to another one and goes on as a thread
//! of the blocking pool, and no hook is called. The other thread *takes over* when it first marks
//! something; from then on the time of the first one counts no more.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Id, worker_index};

use super::clock::{self, Clock};
use super::kernel;
use super::registry::Registry;

thread_local! {
    /// Of every thread that a runtime with [`Workers`] has started, its blocking pool's as well.
    static STARTED: RefCell<Option<Started>> = const { RefCell::new(None) };
}

/// The start of a runtime's thread.
#[derive(Debug)]
struct Started {
    workers: Workers,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    at: u64,
}

/// One worker of one runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    runtime: Id,
    /// Its number in that runtime.
    pub(super) worker: usize,
}

impl Key {
    /// The worker that the calling thread is, if it is one.
    fn of_this_thread() -> Option<Self> {
        let runtime = Handle::try_current().ok()?.id();
        let worker = worker_index()?;
        Some(Self { runtime, worker })
    }
}

/// Registers the workers of tokio runtimes, and marks where they park.
///
/// For those who have hooks of their own; everyone else calls [`Registry::instrument`]. tokio keeps
/// one callback a hook, the last one set, so theirs has to call these:
///
/// ```
/// use thread_states::Registry;
///
/// let workers = Registry::new("shop", []).workers();
/// let (started, parks, unparks) = (workers.clone(), workers.clone(), workers);
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .on_thread_start(move || {
///         // What one does oneself comes here, and in the others.
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
    /// To be called from `on_thread_start`. A thread of the blocking pool is started in the same way
    /// as a worker, so it is registered only when it proves to be a worker, as from its start.
    pub fn thread_started(&self) {
        let started = Started {
            workers: self.clone(),
            at: kernel::now(),
        };
        let _ = STARTED.try_with(|here| here.replace(Some(started)));
    }

    /// To be called from `on_thread_park`.
    pub fn park(&self) {
        self.mark(Clock::park);
    }

    /// To be called from `on_thread_unpark`.
    pub fn unpark(&self) {
        self.mark(Clock::unpark);
    }

    fn mark(&self, mark: fn(&mut Clock)) {
        let marked = clock::with(|clock| {
            // A thread may drive one runtime after the other.
            let ours = Arc::ptr_eq(clock.in_flight(), self.registry.in_flight());
            let counts = ours && clock.counts();
            counts.then(|| mark(clock)).is_some()
        });
        if marked != Some(true) {
            self.register_this_thread();
            clock::with(mark);
        }
    }

    fn register_this_thread(&self) {
        if let Some(key) = Key::of_this_thread() {
            let started = STARTED.try_with(|here| here.borrow().as_ref().map(|start| start.at));
            let started = started.ok().flatten();
            self.registry.register_worker(key, started);
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
    // A thread of the blocking pool has no index here.
    let _ = STARTED.try_with(|here| {
        if let Some(Started { workers, .. }) = &*here.borrow() {
            workers.register_this_thread();
        }
    });
}

impl Registry {
    /// Has the workers of the runtime that `builder` builds register themselves, and marks where
    /// they park; together they serve the requests of [`Self::in_flight`]. It does for a
    /// current-thread runtime what it does for a multi-thread one.
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
    /// A worker's index is the number that tokio gave it, or the lowest free one if a thread of
    /// another runtime has that. It is registered as from the start of its thread, when it first
    /// parks or works for a route, and until its thread ends; the thread that drives a current-thread
    /// runtime from its first park, and until *it* ends. Threads of the blocking pool are not
    /// registered, nor is the one that waits in `block_on` of a multi-thread runtime.
    ///
    /// This sets `on_thread_start`, `on_thread_park` and `on_thread_unpark`, in place of what was set
    /// before: tokio keeps one callback for each. Who has others calls them from there, see
    /// [`Workers`].
    ///
    /// In `block_in_place` a worker goes on in another thread, and tokio does not say so. Until that
    /// one first parks or works for a route, the thread that blocks is shown in its place.
    pub fn instrument(&self, builder: &mut Builder) {
        self.workers().set_hooks(builder);
    }

    /// What [`Self::instrument`] sets as hooks, for those who have their own.
    #[must_use]
    pub fn workers(&self) -> Workers {
        Workers {
            registry: self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::super::index;
    use super::*;

    #[test]
    fn a_worker_bears_its_number_unless_another_thread_does() {
        let registry = Registry::new("test", []);
        let runtimes = [(); 2].map(|()| Builder::new_current_thread().build().unwrap());
        let ids = runtimes.each_ref().map(|runtime| runtime.handle().id());
        let all_registered = Barrier::new(2);
        let register = |runtime| {
            registry.register_worker(Key { runtime, worker: 2 }, None);
            all_registered.wait();
            index().unwrap()
        };
        let register = &register;
        thread::scope(|scope| {
            let threads = ids.map(|id| scope.spawn(move || register(id)));
            let mut indices = threads.map(|thread| thread.join().unwrap());
            indices.sort_unstable();
            assert_eq!(indices, [0, 2]);
        });
        // Whoever has ended leaves its index to others.
        thread::scope(|scope| {
            let again = scope.spawn(|| {
                let [runtime, _] = ids;
                registry.register_worker(Key { runtime, worker: 2 }, None);
                index()
            });
            assert_eq!(again.join().unwrap(), Some(2));
        });
    }
}
