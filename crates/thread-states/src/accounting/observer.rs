//! One thread, read from another.

use std::sync::{Arc, PoisonError};

use super::blocked_on::SeenWait;
use super::clock::Shared;
use super::evidence::Moment;
use super::hold::{Held, OpenHold};
use super::kernel::{Activity, Counters, OsThread};
use super::route_times::RouteTimes;
use super::snapshot::{Settled, Snapshot};
use super::state::{State, Times};
use super::state_start::StateStart;
use super::units::{Nanos, Timestamp};
use super::window::{Window, WindowTimes};
use super::words::Words;
use super::worker_id::WorkerId;
use crate::waits::{On, own_thread_waits_on};

/// Reads one thread from another.
///
/// The thread publishes its marks in a slot, and the kernel has its counters. The two are read one
/// after the other, so a mark in between would make them contradict each other: time in the
/// counters that the marks do not explain. Then both are read again.
#[derive(Debug)]
pub(super) struct Observer {
    shared: Arc<Shared>,
    /// The worker of a runtime that the thread is, if it is one.
    worker: Option<WorkerId>,
    /// `Some` after another thread has replaced this one: its routes alone are read then.
    replaced: Option<Replaced>,
    /// Counters of the last reading.
    counters: Counters,
    last: ThreadTimes,
    state_start: StateStart,
    /// Thing that the thread waits for, as read when it was first found in its present block.
    waits_on: Option<On>,
}

/// Times that were settled when another thread replaced this one.
#[derive(Debug)]
struct Replaced {
    /// The hold that was open, up to then.
    open: Option<(usize, Held)>,
}

/// Times of one thread up to one moment.
#[derive(Debug, Default)]
pub(super) struct ThreadTimes {
    pub(super) times: Times,
    /// Time since the start of its clock, without what is held back.
    pub(super) wall: Nanos,
    /// One for each route that was known.
    pub(super) routes: Vec<RouteTimes>,
    /// The thread has ended, so these times are final.
    pub(super) ended: bool,
    /// Present state; `None` after the end, or if another thread has replaced it.
    pub(super) state: Option<State>,
    /// When it began.
    pub(super) since: Timestamp,
    /// The thread's wait if it is blocked.
    pub(super) wait: Option<SeenWait>,
    /// The part of `routes` that is a hold that has not ended.
    open: Option<(usize, Held)>,
}

/// Data of a reader that is the same for all threads.
#[derive(Debug)]
pub(super) struct Reader {
    /// Number of routes to read: slots have room for routes without a request so far.
    known_routes: usize,
    /// Local ports of clients' connections.
    client_ports: Vec<u16>,
    /// Words of the slot that was read last, kept for its memory.
    words: Vec<u64>,
}

impl Reader {
    pub(super) fn new(known_routes: usize) -> Self {
        Self {
            known_routes,
            client_ports: Vec::new(),
            words: Vec::new(),
        }
    }

    pub(super) fn known_routes(&self) -> usize {
        self.known_routes
    }

    /// Takes connections with these local ports for clients'.
    pub(super) fn with_client_ports(mut self, ports: Vec<u16>) -> Self {
        self.client_ports = ports;
        self
    }
}

impl Observer {
    pub(super) fn new(shared: Arc<Shared>, worker: Option<WorkerId>) -> Self {
        Self {
            shared,
            worker,
            replaced: None,
            counters: Counters::default(),
            last: ThreadTimes::default(),
            state_start: StateStart::default(),
            waits_on: None,
        }
    }

    /// The thread as the kernel names it; `None` if another has replaced it.
    pub(super) fn thread(&self) -> Option<OsThread> {
        let thread = || self.shared.source.thread();
        self.replaced.is_none().then(thread)
    }

    /// Returns whether the thread lives and no other has replaced it.
    pub(super) fn counts(&self) -> bool {
        self.replaced.is_none() && !self.has_ended()
    }

    /// Returns whether this is the thread of `worker`.
    pub(super) fn is(&self, worker: WorkerId) -> bool {
        self.worker == Some(worker) && self.counts()
    }

    /// Returns whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        let mut words = Vec::new();
        let read = self.shared.slot.read(Snapshot::COUNT, &mut words);
        read.is_some_and(|_| Snapshot::of_slot(&words).0.settled.ended)
    }

    /// Ends the time of the thread, because another one replaces it. Returns its times up to now.
    pub(super) fn replace(&mut self, reader: &mut Reader) -> (Times, Nanos) {
        self.shared.replace();
        self.read_clock(reader);
        self.replaced = Some(Replaced {
            open: self.last.open,
        });
        let times = std::mem::take(&mut self.last.times);
        let wall = std::mem::take(&mut self.last.wall);
        self.last.state = None;
        self.last.wait = None;
        (times, wall)
    }

    /// Returns the times of the thread up to now, or those that were last seen if it can no longer be
    /// read.
    pub(super) fn read(&mut self, reader: &mut Reader) -> &ThreadTimes {
        match self.replaced {
            None => self.read_clock(reader),
            Some(Replaced { open }) => self.read_routes(reader, open),
        }
        &self.last
    }

    /// Reads the times of the routes alone: after it was replaced, the thread still ends its holds
    /// and awaits. The hold that it has not ended counts as an await, as it will when it ends.
    fn read_routes(&mut self, reader: &mut Reader, open: Option<(usize, Held)>) {
        if let Some((_, snapshot)) = self.read_slot(reader) {
            self.last.set_routes(&reader.words, open);
            self.last.ended = snapshot.settled.ended;
            if let (Some(hold), Some(replaced)) = (snapshot.hold, self.shared.replaced()) {
                self.last.begin_await(hold.route, hold.since.max(replaced));
            }
        }
    }

    /// Reads slot and counters until they belong together.
    fn read_clock(&mut self, reader: &mut Reader) {
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            // A thread that stands still in the middle of a mark: the last times remain.
            let Some((sequence, snapshot)) = self.read_slot(reader) else {
                return;
            };
            self.compute(&snapshot, reader);
            // After the last attempt, at a thread that marks without a pause, the time since the
            // slot was read is too short to matter.
            if self.shared.slot.is_unchanged(sequence) {
                return;
            }
        }
    }

    /// Computes the times up to now from a snapshot.
    fn compute(&mut self, snapshot: &Snapshot, reader: &Reader) {
        let Settled {
            mut times,
            window,
            ended,
        } = snapshot.settled;
        let counters = if ended {
            window.base
        } else if let Ok(counters) = self.shared.source.read_other(&self.counters) {
            counters
        } else {
            // The thread ended without dropping its registration: the last times remain.
            self.last.state = None;
            self.last.wait = None;
            return;
        };
        let has_run = counters.cpu != self.counters.cpu;
        self.counters = counters;
        let in_flight = self.shared.in_flight.clock(counters.wall);
        // A thread that was never off CPU outside a park needs no observation: it runs.
        let mut activity = Some(Activity::Active);
        let settled = window.settle(&counters, in_flight, |off_cpu| {
            let evidence = self.shared.evidence.lock();
            let mut evidence = evidence.unwrap_or_else(PoisonError::into_inner);
            let source = &self.shared.source;
            let moment = Moment {
                window: &window,
                now: &counters,
                off_cpu,
            };
            let sleeps = || source.other_sleeps();
            let observation = evidence.observe(moment, sleeps, || source.look_at_other(&counters));
            activity = observation.activity;
            observation.blocked
        });
        let WindowTimes {
            times: open,
            held_back,
        } = settled;
        let is_parked = window.park.is_some();
        self.last.state = activity
            .filter(|_| !ended)
            .map(|activity| self.state(activity, is_parked));
        let decided = counters.wall - held_back;
        self.last.wall = decided.duration_since(self.shared.began);
        let hold = snapshot.hold.map(|hold| open_hold(hold, &open, decided));
        times += open;
        self.last.times = times;
        self.find_start(&window, &open, counters.wall);
        self.find_wait(has_run, &reader.client_ports);
        self.last.set_routes(&reader.words, hold);
        self.last.ended = ended;
    }

    /// Finds when the present state began. `open` are the times in the window, of which a park is a part.
    fn find_start(&mut self, window: &Window, open: &Times, now: Timestamp) {
        let at_most = match (self.last.state, window.park) {
            // The thread itself read the base of the window, so it ran then.
            (Some(State::Blocked), _) => open[State::Blocked],
            (Some(State::Awaiting | State::Idle), Some(park)) => now.duration_since(park.wall),
            _ => Nanos::MAX,
        };
        let (state, times) = (self.last.state, &self.last.times);
        self.last.since = self.state_start.advance(state, times, now, at_most);
    }

    /// Finds what the thread waits for, if it is blocked. It is read once for each block: the thread still waits
    /// for the same if it has not run.
    fn find_wait(&mut self, has_run: bool, client_ports: &[u16]) {
        if self.last.state != Some(State::Blocked) {
            (self.last.wait, self.waits_on) = (None, None);
            return;
        }
        if has_run || self.waits_on.is_none() {
            self.waits_on = own_thread_waits_on(self.shared.source.thread().tid, client_ports);
        }
        self.last.wait = Some(SeenWait {
            on: self.waits_on,
            since: self.last.since,
        });
    }

    fn state(&self, activity: Activity, is_parked: bool) -> State {
        match activity {
            _ if is_parked && self.shared.in_flight.count() > 0 => State::Awaiting,
            _ if is_parked => State::Idle,
            Activity::Active => State::Running,
            Activity::Asleep => State::Blocked,
        }
    }

    /// Reads the slot into `reader.words`, and returns the number of the write.
    fn read_slot(&self, reader: &mut Reader) -> Option<(u64, Snapshot)> {
        let slot = &self.shared.slot;
        let known = Snapshot::slot_words(reader.known_routes);
        let mut sequence = slot.read(known, &mut reader.words)?;
        let (mut snapshot, _) = Snapshot::of_slot(&reader.words);
        if snapshot.settled.ended {
            // It will not be read again: all of it, with routes that have only just become known.
            sequence = slot.read(slot.len(), &mut reader.words)?;
            (snapshot, _) = Snapshot::of_slot(&reader.words);
        }
        Some((sequence, snapshot))
    }
}

impl ThreadTimes {
    fn begin_await(&mut self, route: usize, since: Timestamp) {
        if let Some(times) = self.routes.get_mut(route) {
            times.awaits.begin(since);
        }
    }

    fn set_routes(&mut self, words: &[u64], open: Option<(usize, Held)>) {
        let (_, routes) = Snapshot::of_slot(words);
        self.routes.clear();
        self.routes.extend(routes);
        self.open = open;
        if let Some((route, held)) = open {
            if let Some(times) = self.routes.get_mut(route) {
                times.held += held;
            }
        }
    }
}

/// The part of a hold that the thread has not accounted yet. What is held back counts as its end.
fn open_hold(hold: OpenHold, window: &Times, until: Timestamp) -> (usize, Held) {
    let length = until.duration_since(hold.since);
    (hold.route, Held::within(window, length))
}
