//! Registration of threads: each gets a clock and an index.

use std::marker::PhantomData;
use std::sync::{Arc, Once};

use super::accounts::Accounts;
use super::clock::{self, Clock};
use super::in_flight::InFlight;
use super::kernel::Unsupported;
use super::registry::Registry;
use super::shared::Shared;
use super::units::Timestamp;
use super::worker::Worker;

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
    /// if that is given. If another thread was this worker, this one replaces it.
    pub(super) fn register_worker(&self, worker: Worker, thread_started: Option<Timestamp>) {
        self.take_over(worker, None, thread_started);
    }

    /// Registers the calling thread as a worker again, after another one has replaced it although it has kept its
    /// worker. The other one has replaced some other thread in truth.
    pub(super) fn register_worker_again(&self, worker: Worker) {
        let clock = clock::with(|clock| clock.shared());
        self.take_over(worker, clock, None);
    }

    fn take_over(
        &self,
        worker: Worker,
        clock: Option<Arc<Shared>>,
        thread_started: Option<Timestamp>,
    ) {
        let accounts = &mut *self.accounts();
        let replaced = accounts.replace(worker, clock.as_ref(), self.routes().len());
        let (index, thread_started) = match replaced {
            // Up to now the thread was not this worker.
            Some(index) => (index, None),
            None => (
                accounts.free_index(worker.number.unwrap_or(0)),
                thread_started,
            ),
        };
        let in_flight = Arc::clone(self.in_flight());
        self.start(accounts, index, Some(worker), in_flight, thread_started);
    }

    /// Starts the clock of the calling thread; the one that it had ends.
    fn start(
        &self,
        accounts: &mut Accounts,
        index: usize,
        worker: Option<Worker>,
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
    use std::sync::mpsc::{self, Sender};
    use std::thread;
    use std::time::Duration;

    use tokio::runtime::{Builder, Id};

    use super::super::hold::{HoldEnd, HoldStart};
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

    fn numbered(runtime: Id, number: usize) -> Worker {
        Worker {
            runtime,
            number: Some(number),
            of: 3,
        }
    }

    #[test]
    fn a_worker_has_its_number_as_index_unless_another_thread_does() {
        let registry = Registry::new("test", []);
        let runtimes = [(); 2].map(|()| Builder::new_current_thread().build().unwrap());
        let ids = runtimes.each_ref().map(|runtime| runtime.handle().id());
        let all_registered = Barrier::new(2);
        let register = |runtime| {
            registry.register_worker(numbered(runtime, 2), None);
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
                registry.register_worker(numbered(runtime, 2), None);
                index()
            });
            assert_eq!(again.join().unwrap(), Some(2));
        });
    }

    type Work = Box<dyn FnOnce() + Send>;

    /// Threads that are given work, one after the other, and end when this is dropped.
    #[derive(Default)]
    struct Threads(Vec<Sender<Work>>);

    impl Threads {
        /// Runs `work` on a thread, which is started for its first work, and returns the result.
        fn on<R: Send + 'static>(
            &mut self,
            thread: usize,
            work: impl FnOnce() -> R + Send + 'static,
        ) -> R {
            while self.0.len() <= thread {
                let (sender, receiver) = mpsc::channel::<Work>();
                thread::spawn(move || receiver.into_iter().for_each(|work| work()));
                self.0.push(sender);
            }
            let (sender, result) = mpsc::channel();
            let work = move || sender.send(work()).unwrap();
            self.0[thread].send(Box::new(work)).unwrap();
            result.recv().unwrap()
        }
    }

    /// Runs `test` with threads of a registry, and with a worker of a runtime that has two and does not say which is
    /// which.
    fn without_numbers(test: impl FnOnce(Registry, Worker, &mut Threads)) {
        let registry = Registry::new("test", ["/".to_owned()]);
        let runtime = Builder::new_current_thread().build().unwrap();
        let worker = Worker {
            runtime: runtime.handle().id(),
            number: None,
            of: 2,
        };
        test(registry, worker, &mut Threads::default());
    }

    /// Makes the calling thread register.
    fn take(registry: &Registry, worker: Worker) -> impl FnOnce() + Send + 'static {
        let registry = registry.clone();
        move || registry.register_worker(worker, None)
    }

    /// Makes the calling thread register and work for a route.
    fn take_and_hold(registry: &Registry, worker: Worker) -> impl FnOnce() + Send + 'static {
        let take = take(registry, worker);
        move || {
            take();
            clock::with(|clock| clock.hold(Timestamp::now(), 0, HoldStart::New));
        }
    }

    fn counts() -> bool {
        clock::with(|clock| clock.counts()).unwrap()
    }

    /// Returns whether the time of each of three threads counts.
    fn which_count(threads: &mut Threads) -> [bool; 3] {
        [0, 1, 2].map(|thread| threads.on(thread, counts))
    }

    #[test]
    fn without_numbers_a_third_thread_replaces_the_one_that_works() {
        without_numbers(|registry, worker, threads| {
            threads.on(0, take(&registry, worker));
            threads.on(0, || clock::with(Clock::park));
            threads.on(1, take_and_hold(&registry, worker));
            threads.on(2, take(&registry, worker));
            assert_eq!(which_count(threads), [true, false, true]);
            assert_eq!(threads.on(2, index), Some(1));
            assert_eq!(registry.read().states().len(), 2);
        });
    }

    #[test]
    fn without_numbers_a_thread_that_has_blocked_for_long_stays_blocked() {
        without_numbers(|registry, worker, threads| {
            threads.on(0, take_and_hold(&registry, worker));
            thread::sleep(Duration::from_millis(10));
            threads.on(1, take_and_hold(&registry, worker));
            threads.on(2, take(&registry, worker));
            assert_eq!(which_count(threads), [true, false, true]);
            assert_eq!(threads.on(2, index), Some(1));
        });
    }

    #[test]
    fn a_thread_that_kept_its_worker_counts_again_and_another_one_no_longer() {
        without_numbers(|registry, worker, threads| {
            // This one gives its worker away, and then the other one begins to work.
            threads.on(0, take_and_hold(&registry, worker));
            threads.on(1, take_and_hold(&registry, worker));
            threads.on(2, take_and_hold(&registry, worker));
            assert_eq!(which_count(threads), [true, false, true]);
            let again = registry.clone();
            threads.on(1, move || {
                clock::with(|clock| clock.release(Timestamp::now(), 0, HoldEnd::Done));
                again.register_worker_again(worker);
            });
            // Not the third one, whose mark is the latest: it has taken the worker over.
            assert_eq!(which_count(threads), [false, true, true]);
            let states = registry.read().states();
            assert_eq!(states.into_keys().collect::<Vec<_>>(), [0, 1]);
            for thread in registry.read().threads {
                assert_eq!(thread.times.total(), thread.wall, "{thread:?}");
            }
            assert_eq!(
                [1, 2].map(|thread| threads.on(thread, index)),
                [Some(0), Some(1)]
            );
        });
    }

    #[test]
    fn without_numbers_each_runtime_has_threads_of_its_own() {
        without_numbers(|registry, worker, threads| {
            let other = Builder::new_current_thread().build().unwrap();
            let of_other = Worker {
                runtime: other.handle().id(),
                ..worker
            };
            threads.on(0, take_and_hold(&registry, worker));
            threads.on(1, take_and_hold(&registry, worker));
            threads.on(2, take_and_hold(&registry, of_other));
            threads.on(3, take_and_hold(&registry, of_other));
            assert_eq!(
                [0, 1, 2, 3].map(|thread| threads.on(thread, index)),
                [0, 1, 2, 3].map(Some)
            );
            assert!(
                [0, 1, 2, 3]
                    .into_iter()
                    .all(|thread| threads.on(thread, counts))
            );
        });
    }
}
