//! Registration of threads: each gets a clock and an index.

use std::marker::PhantomData;
use std::sync::{Arc, Once};

use super::accounts::Accounts;
use super::clock::{self, Clock};
use super::in_flight::InFlight;
use super::kernel::Unsupported;
use super::registry::Registry;
use super::units::Timestamp;
use super::worker_id::WorkerId;

impl Registry {
    /// Registers the calling thread under the lowest index that no living thread has, until the guard
    /// is dropped. It serves the requests of [`Self::in_flight`].
    ///
    /// ```
    /// use thread_states::Registry;
    ///
    /// let registry = Registry::new("shop", []);
    /// let worker = registry.clone();
    /// std::thread::spawn(move || {
    ///     let _registration = worker.register_current_thread();
    ///     assert_eq!(thread_states::index(), Some(0));
    ///     // Works, and marks where it waits for work: see `thread_states::parked`.
    /// })
    /// .join()
    /// .unwrap();
    /// assert_eq!(registry.read().threads.len(), 1);
    /// ```
    pub fn register_current_thread(&self) -> Registration {
        let mut accounts = self.accounts();
        let index = accounts.free_index(0);
        let in_flight = Arc::clone(self.in_flight());
        self.start(&mut accounts, index, None, in_flight, None);
        Registration(PhantomData)
    }

    /// Registers the calling thread under `index` until the guard is dropped. While the thread is
    /// parked, `in_flight` decides between awaiting and idle.
    ///
    /// A thread has one registration: another one ends the one before. When a thread ends and
    /// another is registered under its index, the counters of the index go on.
    pub fn register(&self, index: usize, in_flight: Arc<InFlight>) -> Registration {
        self.start(&mut self.accounts(), index, None, in_flight, None);
        Registration(PhantomData)
    }

    /// Registers the calling thread as a worker of a runtime until the thread ends, as from its start
    /// if that is given. If another thread was registered as the same worker, this one replaces it.
    pub(super) fn register_worker(&self, id: WorkerId, thread_started: Option<Timestamp>) {
        let accounts = &mut *self.accounts();
        let (index, thread_started) = match accounts.replace(id, self.routes().len()) {
            // Up to now the thread was not this worker.
            Some(index) => (index, None),
            None => (accounts.free_index(id.worker), thread_started),
        };
        let in_flight = Arc::clone(self.in_flight());
        self.start(accounts, index, Some(id), in_flight, thread_started);
    }

    /// Starts the clock of the calling thread; the one that it had ends.
    fn start(
        &self,
        accounts: &mut Accounts,
        index: usize,
        worker: Option<WorkerId>,
        in_flight: Arc<InFlight>,
        thread_started: Option<Timestamp>,
    ) {
        let clock = Clock::start(
            index,
            Arc::clone(&in_flight),
            Arc::clone(self.long_holds()),
            Arc::clone(self.blocking_calls()),
            thread_started,
        )
        .inspect_err(warn_once)
        .ok();
        if let Some(clock) = &clock {
            accounts.add_thread(index, clock.shared(), worker, self.routes().len());
        }
        self.add_in_flight(in_flight);
        clock::replace(clock);
    }
}

fn warn_once(unsupported: &Unsupported) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| tracing::warn!("{unsupported}"));
}

/// Keeps the calling thread registered. Has to be dropped on the same thread.
#[derive(Debug)]
#[must_use = "the thread is registered until this is dropped"]
pub struct Registration(PhantomData<*const ()>);

impl Drop for Registration {
    fn drop(&mut self) {
        // A clock ends when it is dropped.
        clock::replace(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn index() -> Option<usize> {
        clock::with(|clock| clock.index())
    }

    #[test]
    fn threads_that_join_get_an_index_each_and_free_it_at_their_end() {
        let (registry, all_joined) = (Registry::new("test", []), Barrier::new(4));
        let join = || {
            let _registration = registry.register_current_thread();
            all_joined.wait();
            index().unwrap()
        };
        for _ in 0..3 {
            let mut indices: Vec<usize> = thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(join));
                threads.map(|thread| thread.join().unwrap()).into()
            });
            indices.sort_unstable();
            assert_eq!(indices, [0, 1, 2, 3]);
        }
        assert_eq!(registry.read().threads.len(), 4);
    }

    #[test]
    fn a_worker_has_its_number_as_index_unless_another_thread_does() {
        use tokio::runtime::Builder;

        let registry = Registry::new("test", []);
        let runtimes = [(); 2].map(|()| Builder::new_current_thread().build().unwrap());
        let ids = runtimes.each_ref().map(|runtime| runtime.handle().id());
        let all_registered = Barrier::new(2);
        let register = |runtime| {
            registry.register_worker(WorkerId { runtime, worker: 2 }, None);
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
        // A thread that has ended leaves its index to others.
        thread::scope(|scope| {
            let again = scope.spawn(|| {
                let [runtime, _] = ids;
                registry.register_worker(WorkerId { runtime, worker: 2 }, None);
                index()
            });
            assert_eq!(again.join().unwrap(), Some(2));
        });
    }
}
