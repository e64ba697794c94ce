//! Who lives: every server thread of one server, and its times up to now.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, RwLock};

use super::clock::{self, Clock, Shared};
use super::in_flight::InFlight;
use super::journal::Journal;
use super::kernel::{self, Unsupported};
use super::published::{Published, PublishedRoute};
use super::route::{Held, RouteTimes};
use super::routes::Routes;
use super::snapshot::Snapshot;
use super::state::{State, Times};
use super::workers::Key;

/// The threads of one server. Clones share one registry.
///
/// ```
/// use thread_states::{Registry, State};
///
/// let registry = Registry::new("shop", []);
/// let _registration = registry.join();
/// let thread = registry.read().threads[0];
/// assert_eq!(thread.times.total(), thread.wall);
/// println!("{} s on a CPU so far", thread.times.seconds(State::Running));
/// ```
#[derive(Debug, Clone)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: String,
    began: u64,
    routes: Routes,
    journal: Journal,
    in_flight: Arc<InFlight>,
    all_in_flight: RwLock<Vec<Arc<InFlight>>>,
    readers: Mutex<Readers>,
}

/// What the exporter keeps between two readings.
#[derive(Debug, Default)]
struct Readers {
    threads: BTreeMap<usize, Reader>,
    /// What threads that have ended spent on each route, and the ends of awaits that came on a thread
    /// that is not registered.
    ended_routes: Vec<RouteTimes>,
    routes: Vec<PublishedRoute>,
}

/// One thread index, and the threads that bore it.
#[derive(Debug, Default)]
struct Reader {
    living: Vec<Living>,
    ended: Times,
    ended_wall: u64,
    published: Published,
    published_wall: u64,
}

#[derive(Debug)]
struct Living {
    shared: Arc<Shared>,
    /// Which worker of a runtime it is, if it is one.
    key: Option<Key>,
    replaced: Option<Replaced>,
    last: Now,
}

/// Another thread has taken its place: of interest are only its routes, up to its end.
#[derive(Debug)]
struct Replaced {
    /// The hold that was open then, up to then.
    open: Option<(usize, Held)>,
}

/// A thread's times up to one moment.
#[derive(Debug, Clone, Default)]
struct Now {
    times: Times,
    /// Nanoseconds since it began.
    wall: u64,
    routes: Vec<RouteTimes>,
    /// What of `routes` is a hold that has not ended.
    open: Option<(usize, Held)>,
    ended: bool,
}

/// The times of one server up to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Every thread that has ever lived, by index.
    pub threads: Vec<ThreadReading>,
    /// Every route, in the order of [`Registry::routes`].
    pub routes: Vec<RouteReading>,
}

/// One thread's times up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadReading {
    /// Its index among the server's threads.
    pub index: usize,
    /// Nanoseconds since it began.
    pub wall: u64,
    /// Nanoseconds in each state; they sum to `wall`.
    pub times: Times,
}

/// One route's times up to now, over all threads; in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteReading {
    /// With a thread.
    pub held: Held,
    /// Waiting without one.
    pub awaited: u64,
}

impl Registry {
    /// A registry for the threads of `server`. Those of its routes that are known already are
    /// shown before anyone asks for them; see [`Routes`] for the others.
    pub fn new(server: impl Into<String>, routes: impl IntoIterator<Item = String>) -> Self {
        let (routes, in_flight) = (Routes::new(routes), InFlight::new());
        let readers = Readers {
            ended_routes: vec![RouteTimes::default(); routes.capacity()],
            routes: (0..routes.capacity())
                .map(|_| PublishedRoute::default())
                .collect(),
            ..Readers::default()
        };
        Self(Arc::new(Inner {
            server: server.into(),
            began: kernel::now(),
            routes,
            journal: Journal::new(),
            all_in_flight: RwLock::new(vec![Arc::clone(&in_flight)]),
            in_flight,
            readers: Mutex::new(readers),
        }))
    }

    /// The server's name.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// The routes of this server.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// When it was made, in nanoseconds of `CLOCK_MONOTONIC`: no other registry of this machine
    /// has the same.
    #[must_use]
    pub fn began(&self) -> u64 {
        self.0.began
    }

    /// The latest requests of this server.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Registers the calling thread under the lowest index that no living thread has; it serves
    /// the requests of [`Self::in_flight`]. Its clock runs until the guard is dropped.
    ///
    /// ```
    /// use thread_states::{self, Registry};
    ///
    /// let registry = Registry::new("shop", []);
    /// let worker = registry.clone();
    /// std::thread::spawn(move || {
    ///     let _registration = worker.join();
    ///     assert_eq!(accounting::index(), Some(0));
    ///     // Works, and waits for work, which it marks: see `accounting::parked`.
    /// })
    /// .join()
    /// .unwrap();
    /// assert_eq!(registry.read().threads.len(), 1);
    /// ```
    pub fn join(&self) -> Registration {
        let mut readers = self.readers();
        let index = readers.free_index(0);
        self.start(
            &mut readers,
            index,
            None,
            Arc::clone(&self.0.in_flight),
            None,
        );
        Registration(PhantomData)
    }

    /// Registers the calling thread under `index`; its clock runs until the guard is dropped.
    /// `in_flight` tells whether requests are in flight while the thread is parked.
    ///
    /// A thread has one clock: registering it again ends the one before. When a thread ends and
    /// another is registered under its index, the counters of the index go on.
    pub fn register(&self, index: usize, in_flight: Arc<InFlight>) -> Registration {
        self.start(&mut self.readers(), index, None, in_flight, None);
        Registration(PhantomData)
    }

    /// Registers the calling thread as a worker of a runtime until it ends, as from its start if
    /// that is given. If another thread was registered as the same worker, this one takes its place.
    pub(super) fn register_worker(&self, key: Key, thread_started: Option<u64>) {
        let readers = &mut *self.readers();
        let (index, thread_started) = match readers.replace(key, &self.0.routes) {
            // What the thread did before it took this place was nothing of a worker's.
            Some(index) => (index, None),
            None => (readers.free_index(key.worker), thread_started),
        };
        let in_flight = Arc::clone(&self.0.in_flight);
        self.start(readers, index, Some(key), in_flight, thread_started);
    }

    /// Starts the clock of the calling thread; that which it had ends.
    fn start(
        &self,
        readers: &mut Readers,
        index: usize,
        key: Option<Key>,
        in_flight: Arc<InFlight>,
        thread_started: Option<u64>,
    ) {
        let routes = self.0.routes.capacity();
        let clock = Clock::start(index, Arc::clone(&in_flight), routes, thread_started)
            .inspect_err(tell_once)
            .ok();
        if let Some(clock) = &clock {
            // Nobody may ever scrape: threads that come and go must leave nothing behind meanwhile.
            readers.settle_ended(index, &self.0.routes);
            let reader = readers.threads.entry(index).or_default();
            reader.living.push(Living::new(clock.shared(), key));
        }
        let mut known = self
            .0
            .all_in_flight
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // What is nobody else's any more belongs to threads that have ended.
        known.retain(|other| Arc::strong_count(other) > 1);
        if !known.iter().any(|other| Arc::ptr_eq(other, &in_flight)) {
            known.push(in_flight);
        }
        clock::replace(clock);
    }

    /// The requests in flight of the threads that serve them together, as those of
    /// [`Self::join`] do.
    #[must_use]
    pub fn in_flight(&self) -> &Arc<InFlight> {
        &self.0.in_flight
    }

    /// How many requests are in flight, over all threads.
    #[must_use]
    pub fn requests_in_flight(&self) -> u64 {
        let known = self
            .0
            .all_in_flight
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|in_flight| in_flight.count()).sum()
    }

    /// Ends an await of `route` at `time`, when its work is not taken up again, or on a thread that is
    /// not registered. The calling thread need not be: a runtime, say, drops the requests in flight
    /// on whichever thread it is dropped.
    pub fn end_await(&self, time: u64, route: usize) {
        if clock::with(|clock| clock.end_await(time, route)).is_none()
            && let Some(times) = self.readers().ended_routes.get_mut(route)
        {
            times.end_await(time);
        }
    }

    /// The times of every thread and every route up to now. No value is ever below that of an
    /// earlier call.
    #[must_use]
    pub fn read(&self) -> Reading {
        let readers = &mut *self.readers();
        for reader in readers.threads.values_mut() {
            reader.settle_ended(&self.0.routes, &mut readers.ended_routes);
        }
        let mut routes = readers.ended_routes.clone();
        let threads = readers.threads.iter_mut();
        let threads = threads
            .map(|(index, reader)| reader.read(*index, &self.0.routes, &mut routes))
            .collect();
        let now = kernel::now();
        let routes = readers.routes.iter_mut().zip(&routes);
        let routes = routes.zip(self.0.routes.iter());
        Reading {
            threads,
            routes: routes
                .map(|((published, sum), _)| published.advance(sum, now))
                .collect(),
        }
    }

    /// What each living thread does at this moment, by index; `running` also where it waits for a
    /// CPU, which cannot be told at one moment.
    #[must_use]
    pub fn states(&self) -> BTreeMap<usize, State> {
        let readers = self.readers();
        let living = readers.threads.iter().flat_map(|(index, reader)| {
            reader.living.iter().map(|living| (*index, living.state()))
        });
        living
            .filter_map(|(index, state)| Some((index, state?)))
            .collect()
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        // A reader that panicked leaves counters that are still right.
        self.0
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_once(unsupported: &Unsupported) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| tracing::warn!("{unsupported}"));
}

impl Readers {
    /// Ends the time of the thread that was this worker, and tells its index.
    fn replace(&mut self, key: Key, routes: &Routes) -> Option<usize> {
        self.threads
            .iter_mut()
            .find_map(|(index, reader)| reader.replace(key, routes).then_some(*index))
    }

    /// Keeps only the sums of the threads of this index that have ended.
    fn settle_ended(&mut self, index: usize, routes: &Routes) {
        if let Some(reader) = self.threads.get_mut(&index) {
            reader.settle_ended(routes, &mut self.ended_routes);
        }
    }

    /// `wanted` if no living thread bears it, else the lowest that none bears.
    fn free_index(&self, wanted: usize) -> usize {
        let is_free = |index: &usize| self.threads.get(index).is_none_or(Reader::is_free);
        std::iter::once(wanted)
            .chain(0..)
            .find(is_free)
            .unwrap_or(wanted)
    }
}

impl Reader {
    /// Whether no living thread bears this index.
    fn is_free(&self) -> bool {
        self.living.iter().all(|living| !living.counts())
    }

    fn replace(&mut self, key: Key, routes: &Routes) -> bool {
        let mut workers = self.living.iter_mut();
        let Some(worker) = workers.find(|living| living.key == Some(key) && living.counts()) else {
            return false;
        };
        let Now { times, wall, .. } = worker.replace(routes);
        self.ended += times;
        self.ended_wall += wall;
        true
    }

    /// Adds up the threads that have ended, and their routes to `ended_routes`, and forgets them.
    fn settle_ended(&mut self, known: &Routes, ended_routes: &mut [RouteTimes]) {
        let ended = self
            .living
            .extract_if(.., |living| living.has_ended())
            .map(|mut living| living.read(known));
        for Now {
            times,
            wall,
            routes,
            ..
        } in ended
        {
            add(ended_routes, &routes);
            self.ended += times;
            self.ended_wall += wall;
        }
    }

    /// Adds up the threads of this index, and the routes of those that live to `routes`.
    fn read(&mut self, index: usize, known: &Routes, routes: &mut [RouteTimes]) -> ThreadReading {
        let (mut times, mut wall) = (Times::default(), 0);
        for living in &mut self.living {
            let now = living.read(known);
            add(routes, &now.routes);
            times += now.times;
            wall += now.wall;
        }
        times += self.ended;
        wall += self.ended_wall;
        // A thread takes its last time before it can tell anyone that it ends.
        self.published_wall = self.published_wall.max(wall);
        ThreadReading {
            index,
            wall: self.published_wall,
            times: self.published.advance(times),
        }
    }
}

fn add_open(routes: &mut [RouteTimes], open: Option<(usize, Held)>) {
    if let Some((route, held)) = open
        && let Some(times) = routes.get_mut(route)
    {
        times.held += held;
    }
}

fn add(sums: &mut [RouteTimes], routes: &[RouteTimes]) {
    for (sum, times) in sums.iter_mut().zip(routes) {
        *sum += *times;
    }
}

impl Living {
    fn new(shared: Arc<Shared>, key: Option<Key>) -> Self {
        Self {
            shared,
            key,
            replaced: None,
            last: Now::default(),
        }
    }

    /// Whether its time still counts.
    fn counts(&self) -> bool {
        self.replaced.is_none() && self.snapshot().is_some_and(|snapshot| !snapshot.ended)
    }

    fn has_ended(&self) -> bool {
        self.snapshot().is_some_and(|snapshot| snapshot.ended)
    }

    /// Another thread takes its place. Returns what it came to.
    fn replace(&mut self, routes: &Routes) -> Now {
        self.shared.replaced.store(kernel::now(), Ordering::Release);
        let now = self.read_clock(routes);
        self.replaced = Some(Replaced { open: now.open });
        self.last = Now {
            routes: now.routes.clone(),
            ..Now::default()
        };
        now
    }

    /// Its times up to now.
    fn read(&mut self, routes: &Routes) -> Now {
        match self.replaced {
            None => self.read_clock(routes),
            Some(Replaced { open }) => self.read_routes(routes, open),
        }
    }

    /// The times of the routes alone, of a thread whose place was taken.
    fn read_routes(&mut self, routes: &Routes, open: Option<(usize, Held)>) -> Now {
        if let Some((_, snapshot, mut routes)) = self.slot(routes) {
            add_open(&mut routes, open);
            self.last.routes = routes;
            self.last.ended = snapshot.ended;
        }
        self.last.clone()
    }

    /// Reads slot and counters until they belong together.
    fn read_clock(&mut self, routes: &Routes) -> Now {
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            // A thread that stands still in the middle of a mark, or is gone: what was last seen.
            let Some((sequence, now)) = self.try_read(routes) else {
                break;
            };
            // After the last attempt, of a thread that marks without pause, what it did since
            // the slot was read is too short to matter.
            self.last = now;
            if self.shared.slot.is_still(sequence) {
                break;
            }
        }
        self.last.clone()
    }

    fn try_read(&self, routes: &Routes) -> Option<(u64, Now)> {
        let (sequence, snapshot, mut routes) = self.slot(routes)?;
        let Snapshot {
            settled,
            window,
            hold,
            ended,
        } = snapshot;
        let reading = if ended {
            window.base
        } else {
            // A thread that is gone without its guard's knowledge stands where it was last seen.
            self.shared.source.read_other().ok()?
        };
        let in_flight = self.shared.in_flight.clock(reading.wall);
        let open = window.settle(&reading, in_flight, || {
            let evidence = self.shared.evidence.lock();
            let mut evidence = evidence.unwrap_or_else(PoisonError::into_inner);
            evidence.look(&window, &reading, || self.shared.source.status_of_other())
        });
        let hold = hold.map(|(route, since)| {
            (
                route,
                Held::within(&open, reading.wall.saturating_sub(since)),
            )
        });
        add_open(&mut routes, hold);
        let mut times = settled;
        times += open;
        let wall = reading.wall.saturating_sub(self.shared.began);
        Some((
            sequence,
            Now {
                times,
                wall,
                routes,
                open: hold,
                ended,
            },
        ))
    }

    /// What the slot holds, with the number of the write.
    fn slot(&self, routes: &Routes) -> Option<(u64, Snapshot, Vec<RouteTimes>)> {
        let slot = &self.shared.slot;
        let known = Snapshot::slot_words(routes.iter().count());
        let (mut sequence, mut words) = slot.read_first(known)?;
        if Snapshot::parse(&words)?.0.ended {
            // It will not be read again: also what it did for a route that has only just become known.
            (sequence, words) = slot.read()?;
        }
        let (snapshot, routes) = Snapshot::parse(&words)?;
        Some((sequence, snapshot, routes))
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (_, words) = self.shared.slot.read_first(Snapshot::WORDS)?;
        Some(Snapshot::parse(&words)?.0)
    }

    fn state(&self) -> Option<State> {
        if !self.counts() {
            return None;
        }
        let Snapshot { window, .. } = self.snapshot()?;
        Some(match window.park {
            Some(_) if self.shared.in_flight.count() > 0 => State::Awaiting,
            Some(_) => State::Idle,
            None if self.shared.source.status_of_other()?.runs => State::Running,
            None => State::Blocked,
        })
    }
}

/// Keeps the calling thread registered. To be dropped on the same thread.
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

    use super::super::index;
    use super::*;

    #[test]
    fn threads_that_join_get_an_index_each_and_leave_it_to_others() {
        let (registry, all_joined) = (Registry::new("test", []), Barrier::new(4));
        let join = || {
            let _registration = registry.join();
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
    fn a_route_that_is_new_has_times_of_its_own() {
        let registry = Registry::new("test", ["/known".to_owned()]);
        let _registration = registry.join();
        assert_eq!(registry.read().routes.len(), 1);
        let new = registry.routes().index("/new");
        super::super::hold(new, false);
        thread::sleep(std::time::Duration::from_millis(5));
        let [known, new] = registry.read().routes[..] else {
            panic!("two routes")
        };
        assert_eq!(known, RouteReading::default());
        assert!(new.held.blocked >= 5_000_000, "{new:?}");
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
    fn counts_of_requests_are_kept_no_longer_than_their_threads() {
        let registry = Registry::new("test", []);
        for _ in 0..100 {
            drop(registry.register(0, InFlight::new()));
        }
        let known = registry.0.all_in_flight.read().unwrap().len();
        assert!(known <= 3, "{known}");
    }
}
