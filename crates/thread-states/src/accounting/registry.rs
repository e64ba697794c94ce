//! The registry: the threads of one server with their routes and requests, and the times of all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::accounts::Accounts;
use super::all_in_flight::{AllInFlight, KnownCounts};
use super::blocking_calls::BlockingCalls;
use super::fork;
use super::in_flight::InFlight;
use super::long_holds::LongHolds;
use super::observer::Reader;
use super::reading::Reading;
use super::request_log::RequestLog;
use super::routes::Routes;
use super::units::Timestamp;

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
    all_in_flight: AllInFlight,
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
            all_in_flight: AllInFlight::new(&in_flight),
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

    /// Counts these requests as well in [`Self::requests_in_flight`].
    pub(super) fn add_in_flight(&self, in_flight: Arc<InFlight>) {
        self.0.all_in_flight.add(in_flight);
    }

    /// Requests in flight that threads serve together, as those of [`Self::register_current_thread`] do.
    #[must_use]
    pub fn in_flight(&self) -> &Arc<InFlight> {
        &self.0.in_flight
    }

    /// Number of requests in flight, over all threads. [`RequestsInFlight`] reads it without a lock.
    #[must_use]
    pub fn requests_in_flight(&self) -> u64 {
        RequestsInFlight::new(self.clone()).count()
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
    /// Takes about 1 µs per thread, 20 µs more for each that runs or has just begun to block, 10 µs more for each new
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
        for in_flight in &*self.0.all_in_flight.counts() {
            in_flight.reset();
        }
    }

    /// Accounts of this process.
    pub(super) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.forget_parent();
        self.locked_accounts()
    }

    fn locked_accounts(&self) -> MutexGuard<'_, Accounts> {
        // A reader that panicked leaves counters that are still right.
        let accounts = self.0.accounts.lock();
        accounts.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reader of [`Registry::requests_in_flight`] for code that needs it at each request, such as a limit: it takes no lock
/// while the server has the same threads.
///
/// ```
/// use thread_states::{Registry, RequestsInFlight};
///
/// let registry = Registry::new("shop", []);
/// let mut requests = RequestsInFlight::new(registry.clone());
/// let _request = registry.in_flight().enter();
/// assert_eq!(requests.count(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct RequestsInFlight {
    registry: Registry,
    known: KnownCounts,
}

impl RequestsInFlight {
    /// Returns a reader of the requests of this server.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            known: KnownCounts::default(),
        }
    }

    /// Number of requests in flight, over all threads.
    pub fn count(&mut self) -> u64 {
        self.registry.forget_parent();
        self.registry.0.all_in_flight.sum(&mut self.known)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::clock;
    use super::super::hold::HoldStart;
    use super::super::reading::RouteReading;
    use super::super::units::Nanos;
    use super::*;

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
        let mut reader = RequestsInFlight::new(registry.clone());
        assert_eq!([registry.requests_in_flight(), reader.count()], [2; 2]);
        let _third = registry.in_flight().enter();
        assert_eq!([registry.requests_in_flight(), reader.count()], [3; 2]);
    }
}
