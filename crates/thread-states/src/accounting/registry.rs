//! Registration: the threads of one server, and the times of all of them.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, RwLock};
use std::time::Duration;

use super::accounts::Accounts;
use super::blocking_calls::BlockingCalls;
use super::clock::{self, Clock};
use super::fork;
use super::in_flight::InFlight;
use super::kernel::Unsupported;
use super::long_holds::LongHolds;
use super::observer::Reader;
use super::reading::Reading;
use super::request_log::RequestLog;
use super::route_times::RouteTimes;
use super::routes::Routes;
use super::units::Timestamp;
use super::worker_id::WorkerId;

/// The threads of one server. Clones share one registry.
///
/// In a child process that was forked, the registry has no threads, no requests in flight and no times of
/// routes: those of the parent are not in the child. A thread that the child goes on with has to be registered again. As everywhere
/// after `fork`, a lock that another thread held stays locked, so fork before other threads are busy.
///
/// ```
/// use thread_states::{Registry, State};
///
/// let registry = Registry::new("shop", []);
/// let _registration = registry.register_current_thread();
/// let thread = registry.read().threads[0];
/// assert_eq!(thread.times.total(), thread.wall);
/// println!("CPU time so far: {:?}", thread.times[State::Running]);
/// ```
#[derive(Debug, Clone)]
pub struct Registry(Arc<Inner>);

/// Marks lock none of this: threads lock it when they are registered, readers when they read.
#[derive(Debug)]
struct Inner {
    server: String,
    began: Timestamp,
    routes: Arc<Routes>,
    long_holds: Arc<LongHolds>,
    request_log: RequestLog,
    in_flight: Arc<InFlight>,
    all_in_flight: RwLock<Vec<Arc<InFlight>>>,
    accounts: Mutex<Accounts>,
    /// The process to which all of this belongs, see [`fork::generation`].
    process: AtomicU64,
    client_ports: RwLock<Vec<u16>>,
    blocking_calls: Arc<BlockingCalls>,
}

impl Registry {
    /// Creates a registry for the threads of `server`. Routes that are given here have series from the
    /// first scrape on; others are added at their first request, see [`Routes`].
    pub fn new(server: impl Into<String>, routes: impl IntoIterator<Item = String>) -> Self {
        let (routes, in_flight) = (Arc::new(Routes::new(routes)), InFlight::new());
        let server = server.into();
        Self(Arc::new(Inner {
            long_holds: Arc::new(LongHolds::new(&server, Arc::clone(&routes))),
            server,
            began: Timestamp::now(),
            accounts: Mutex::new(Accounts::new(routes.capacity())),
            routes,
            request_log: RequestLog::new(),
            all_in_flight: RwLock::new(vec![Arc::clone(&in_flight)]),
            in_flight,
            process: AtomicU64::new(fork::generation()),
            client_ports: RwLock::default(),
            blocking_calls: Arc::default(),
        }))
    }

    /// Name of the server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// Routes of the server.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// Time at which the registry was created. It identifies the registry: two on one machine never
    /// have the same.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.0.began
    }

    /// The latest requests of the server.
    #[must_use]
    pub fn request_log(&self) -> &RequestLog {
        &self.0.request_log
    }

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
        let in_flight = Arc::clone(&self.0.in_flight);
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
        let (index, thread_started) = match accounts.replace(id, self.0.routes.len()) {
            // Up to now the thread was not this worker.
            Some(index) => (index, None),
            None => (accounts.free_index(id.worker), thread_started),
        };
        let in_flight = Arc::clone(&self.0.in_flight);
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
        let routes = &self.0.routes;
        let clock = Clock::start(
            index,
            Arc::clone(&in_flight),
            Arc::clone(&self.0.long_holds),
            Arc::clone(&self.0.blocking_calls),
            thread_started,
        )
        .inspect_err(warn_once)
        .ok();
        if let Some(clock) = &clock {
            accounts.add_thread(index, clock.shared(), worker, routes.len());
        }
        self.add_in_flight(in_flight);
        clock::replace(clock);
    }

    fn add_in_flight(&self, in_flight: Arc<InFlight>) {
        let known = self.0.all_in_flight.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        // Those without another owner belong to threads that have ended.
        known.retain(|other| Arc::strong_count(other) > 1);
        if !known.iter().any(|other| Arc::ptr_eq(other, &in_flight)) {
            known.push(in_flight);
        }
    }

    /// Requests in flight that threads serve together, as those of [`Self::register_current_thread`] do.
    #[must_use]
    pub fn in_flight(&self) -> &Arc<InFlight> {
        &self.0.in_flight
    }

    /// Number of requests in flight, over all threads.
    #[must_use]
    pub fn requests_in_flight(&self) -> u64 {
        self.forget_parent();
        let known = self.0.all_in_flight.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|in_flight| in_flight.count()).sum()
    }

    /// Ends an await of `route` at `time` whose work does not go on, or goes on on a thread that is not
    /// registered. The calling thread need not be registered either: a runtime drops its requests in
    /// flight on whichever thread it is dropped.
    pub fn end_await(&self, time: Timestamp, route: usize) {
        self.wait(route, |times| times.awaits.end(time));
    }

    /// Ends a wait for a thread, as [`Self::end_await`] ends an await.
    pub(crate) fn end_ready(&self, time: Timestamp, route: usize) {
        self.wait(route, |times| times.readies.end(time));
    }

    /// Divides the wait of a request at the time of its wake-up.
    pub(crate) fn wake(&self, woken: Timestamp, route: usize) {
        self.wait(route, |times| times.wake(woken));
    }

    /// Changes the waits of a route, on whichever thread.
    fn wait(&self, route: usize, change: impl Fn(&mut RouteTimes)) {
        let marked = clock::with(|clock| {
            let ours = Arc::ptr_eq(clock.long_holds(), &self.0.long_holds);
            if ours {
                clock.wait(route, &change);
            }
            ours
        });
        if !marked.unwrap_or(false) {
            self.accounts().wait(route, change);
        }
    }

    /// Calls on blocking pools.
    pub(crate) fn blocking_calls(&self) -> &Arc<BlockingCalls> {
        &self.0.blocking_calls
    }

    /// Long holds of the server's threads.
    pub(crate) fn long_holds(&self) -> &Arc<LongHolds> {
        &self.0.long_holds
    }

    /// Sets from which time on a hold of a thread by a route is reported as a `tracing` event: a warning
    /// with the route, the thread, and how long it ran, was runnable and blocked. There is at most one
    /// event per second; its field `suppressed` counts those left out before it. Default: 100 ms. `None`
    /// turns them off, e.g. for servers with one thread per request, whose holds are requests.
    pub fn warn_of_holds(&self, longer_than: Option<Duration>) {
        self.0.long_holds.warn_from(longer_than);
    }

    /// Declares that connections to this local port are clients': a thread that waits for one of them is blocked
    /// on `client` ([`On::Client`](crate::waits::On::Client)). Without this, all its sockets count as `socket`.
    pub fn add_client_port(&self, port: u16) {
        let ports = self.0.client_ports.write();
        let mut ports = ports.unwrap_or_else(PoisonError::into_inner);
        if !ports.contains(&port) {
            ports.push(port);
        }
    }

    /// Reads the present state of every thread, and the times of every thread and route up to now. No
    /// time is ever below that of an earlier call.
    ///
    /// Takes about 1.5 µs per thread, 20 µs more for each that runs or has just begun to block, 10 µs more for each new
    /// block, to read what it waits for, and 3 µs more for each of up to 128 that are blocked, to see whether they still
    /// are. Of more than 128, each has its turn: a thread that has been woken and waits for a CPU counts as blocked until
    /// then, or until it runs.
    #[must_use]
    pub fn read(&self) -> Reading {
        let ports = self.0.client_ports.read();
        let ports = ports.unwrap_or_else(PoisonError::into_inner).clone();
        let reader = Reader::new(self.0.routes.len()).with_client_ports(ports);
        self.accounts().read(reader)
    }

    /// Empties the registry in a child process, before its first use there.
    fn forget_parent(&self) {
        let process = fork::generation();
        if self.0.process.load(Ordering::Relaxed) == process {
            return;
        }
        self.0.process.store(process, Ordering::Relaxed);
        *self.locked_accounts() = Accounts::new(self.0.routes.capacity());
        let known = self.0.all_in_flight.read();
        for in_flight in known.unwrap_or_else(PoisonError::into_inner).iter() {
            in_flight.reset();
        }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.forget_parent();
        self.locked_accounts()
    }

    fn locked_accounts(&self) -> MutexGuard<'_, Accounts> {
        // A reader that panicked leaves counters that are still right.
        let accounts = self.0.accounts.lock();
        accounts.unwrap_or_else(PoisonError::into_inner)
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

    use super::super::clock::HoldStart;
    use super::super::reading::RouteReading;
    use super::super::units::Nanos;
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

    #[test]
    fn a_new_route_has_times_of_its_own() {
        let registry = Registry::new("test", ["/known".to_owned()]);
        let _registration = registry.register_current_thread();
        assert_eq!(registry.read().routes.len(), 1);
        let new = registry.routes().index("/new");
        clock::with(|clock| clock.hold(Timestamp::now(), new, HoldStart::New));
        thread::sleep(Duration::from_millis(5));
        // It may leave a time undecided that can be a wait for a CPU. The next one decides.
        let _ = registry.read();
        let [known, new] = registry.read().routes[..] else {
            panic!("two routes")
        };
        assert_eq!(known, RouteReading::default());
        assert!(new.held.blocked >= Nanos::from_millis(5), "{new:?}");
    }

    #[test]
    fn requests_in_flight_are_those_of_every_thread() {
        let registry = Registry::new("test", []);
        let of_thread = [InFlight::new(), InFlight::new()];
        let _requests = of_thread.each_ref().map(|in_flight| {
            let _registration = registry.register(0, Arc::clone(in_flight));
            in_flight.enter()
        });
        assert_eq!(registry.requests_in_flight(), 2);
        let _third = registry.in_flight().enter();
        assert_eq!(registry.requests_in_flight(), 3);
    }

    #[test]
    fn counts_of_requests_are_dropped_with_their_threads() {
        let registry = Registry::new("test", []);
        for _ in 0..100 {
            drop(registry.register(0, InFlight::new()));
        }
        let known = registry.0.all_in_flight.read().unwrap().len();
        assert!(known <= 3, "{known}");
    }
}
