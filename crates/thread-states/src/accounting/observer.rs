//! One thread, read from another.

use std::hint;
use std::sync::{Arc, PoisonError};

use tokio::runtime::Id;

use super::blocked_on::SeenWait;
use super::evidence::Moment;
use super::handover::Candidate;
use super::hold::{Held, OpenHold};
use super::kernel::{Activity, Counters, OsThread};
use super::prefetch::prefetch;
use super::route_sums::RouteSums;
use super::route_times::RouteTimes;
use super::shared::Shared;
use super::snapshot::{Settled, Snapshot};
use super::state::{State, Times};
use super::state_start::StateStart;
use super::units::{Nanos, Timestamp};
use super::window::{Window, WindowTimes};
use super::words::Words;
use super::worker::Worker;
use crate::waits::OwnWait;

/// Reads one thread from another.
///
/// The thread publishes its marks in a slot, and the kernel has its counters. The two are read one
/// after the other, so a mark in between would make them contradict each other: time in the
/// counters that the marks do not explain. Then both are read again.
#[derive(Debug)]
pub(super) struct Observer {
    shared: Arc<Shared>,
    /// The worker of a runtime that the thread is, if it is one.
    worker: Option<Worker>,
    registered: Timestamp,
    /// `Some` after another thread has replaced this one: its routes alone are read then.
    replaced: Option<Replaced>,
    /// Counters of the last reading.
    counters: Counters,
    /// The slot as of the last reading: most threads mark nothing from scrape to scrape.
    seen: Option<SeenSlot>,
    last: ThreadTimes,
    state_start: StateStart,
    /// The thread's wait, as read when it was first found in its present block.
    wait: Option<OwnWait>,
}

/// Times that were settled when another thread replaced this one.
#[derive(Debug)]
struct Replaced {
    /// The hold that was open, up to then.
    open: Option<(usize, RouteTimes)>,
    /// When the other thread had the worker at the latest.
    handover: Timestamp,
}

/// Contents of a slot as last read.
#[derive(Debug, Clone, Copy)]
struct SeenSlot {
    /// Number of the write.
    sequence: u64,
    /// Number of routes that were read.
    routes: usize,
    snapshot: Snapshot,
}

/// Times of one thread up to one moment.
#[derive(Debug, Default)]
pub(super) struct ThreadTimes {
    /// The moment up to which the times are.
    pub(super) now: Timestamp,
    pub(super) times: Times,
    /// Time since the start of its clock, without what is held back.
    pub(super) wall: Nanos,
    /// One for each route that was known, without `open`.
    pub(super) routes: Vec<RouteTimes>,
    /// Times of routes that the thread has not accounted yet: those of the hold that has not ended, and after another
    /// thread has replaced this one, those of the hold then.
    pub(super) open: [Option<(usize, RouteTimes)>; 2],
    /// The thread has ended, so these times are final.
    pub(super) ended: bool,
    /// Present state; `None` after the end, or if another thread has replaced it.
    pub(super) state: Option<State>,
    /// When it began.
    pub(super) since: Timestamp,
    /// The thread's wait if it is blocked.
    pub(super) wait: Option<SeenWait>,
}

/// Number of sleeping threads, more or less, at which a reading looks whether they have been woken, at 3 µs each.
const MOST_LOOKS: usize = 128;

/// The sleeping threads at which one reading looks; every thread has its turn.
///
/// One that has been woken and has no CPU yet counts as blocked until its turn comes, or it runs: then the kernel tells
/// its delay, and `Published` makes good for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turn {
    /// Number of the reading.
    pub(super) reading: u64,
    /// Number of threads that were blocked at the reading before.
    pub(super) blocked: usize,
}

impl Turn {
    fn is_of(self, tid: i32) -> bool {
        let turns = self.blocked.div_ceil(MOST_LOOKS).max(1) as u64;
        // Every second thread may be a blocked one, so neighbours are spread (Knuth's multiplicative hash).
        let spread = tid.unsigned_abs().wrapping_mul(0x9e37_79b1) >> 16;
        u64::from(spread) % turns == self.reading % turns
    }
}

/// Data of a reader that is the same for all threads.
#[derive(Debug)]
pub(super) struct Reader {
    /// Number of routes to read: slots have room for routes without a request so far.
    known_routes: usize,
    /// Local ports of clients' connections.
    client_ports: Vec<u16>,
    turn: Turn,
    /// Words of the slot that was read last, kept for its memory.
    words: Vec<u64>,
}

impl Reader {
    pub(super) fn new(known_routes: usize) -> Self {
        Self {
            known_routes,
            client_ports: Vec::new(),
            turn: Turn::default(),
            words: Vec::new(),
        }
    }

    pub(super) fn known_routes(&self) -> usize {
        self.known_routes
    }

    /// Looks only at the sleeping threads whose turn it is.
    pub(super) fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Takes connections with these local ports for clients'.
    pub(super) fn with_client_ports(mut self, ports: Vec<u16>) -> Self {
        self.client_ports = ports;
        self
    }
}

impl Observer {
    pub(super) fn new(shared: Arc<Shared>, worker: Option<Worker>) -> Self {
        Self {
            shared,
            worker,
            registered: Timestamp::now(),
            replaced: None,
            counters: Counters::default(),
            seen: None,
            last: ThreadTimes::default(),
            state_start: StateStart::default(),
            wait: None,
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
    pub(super) fn is(&self, worker: Worker) -> bool {
        self.worker == Some(worker) && self.counts()
    }

    /// The thread, if it is taken for a worker of `runtime`.
    pub(super) fn candidate(&self, index: usize, runtime: Id) -> Option<Candidate> {
        let is_of = |worker: &Worker| worker.runtime == runtime && self.counts();
        self.worker.filter(is_of)?;
        let mut words = Vec::new();
        let read = self.shared.slot.read(Snapshot::COUNT, &mut words);
        // A thread that stands still in the middle of a mark has its worker.
        let snapshot = read.map(|_| Snapshot::of_slot(&words).0);
        let window = snapshot.map(|snapshot| snapshot.settled.window);
        let held_since = snapshot
            .and_then(|snapshot| snapshot.hold)
            .map(|hold| hold.since);
        let read_at = window.map(|window| window.base.wall);
        Some(Candidate {
            index,
            is_parked: window.is_none_or(|window| window.parks.park.is_some()),
            registered: self.registered,
            last_mark: held_since.max(read_at).unwrap_or_default(),
        })
    }

    /// When another thread that has replaced the one with this clock had its worker at the latest.
    pub(super) fn handover(&self, clock: &Arc<Shared>) -> Option<Timestamp> {
        let replaced = self.replaced.as_ref();
        let replaced = replaced.filter(|_| Arc::ptr_eq(&self.shared, clock));
        replaced.map(|replaced| replaced.handover)
    }

    /// Returns whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        let mut words = Vec::new();
        let read = self.shared.slot.read(Snapshot::COUNT, &mut words);
        read.is_some_and(|_| Snapshot::of_slot(&words).0.settled.ended)
    }

    /// Ends the time of the thread, because another one replaces it, which had its worker at `handover` at the latest.
    /// Returns its times up to now.
    pub(super) fn replace(
        &mut self,
        handover: Timestamp,
        reader: &mut Reader,
        sums: &mut RouteSums,
    ) -> (Times, Nanos) {
        self.shared.replace();
        self.read_clock(reader, sums);
        self.replaced = Some(Replaced {
            open: self.last.open[0],
            handover,
        });
        let times = std::mem::take(&mut self.last.times);
        let wall = std::mem::take(&mut self.last.wall);
        self.last.state = None;
        (self.last.wait, self.wait) = (None, None);
        (times, wall)
    }

    /// Loads a word of each allocation that the thread shares.
    pub(super) fn touch(&self) {
        let Shared {
            slot, in_flight, ..
        } = &*self.shared;
        hint::black_box((slot.is_unchanged(0), in_flight.count()));
    }

    /// Fetches what the thread shares into the cache.
    pub(super) fn prefetch_shared(&self) {
        prefetch(&*self.shared);
    }

    /// Returns the times of the thread up to now, or those that were last seen if it can no longer be
    /// read. Changes the sums over the routes of living threads by what it has found.
    pub(super) fn read(&mut self, reader: &mut Reader, sums: &mut RouteSums) -> &ThreadTimes {
        match self.replaced {
            None => self.read_clock(reader, sums),
            Some(Replaced { open, .. }) => self.read_routes(reader, sums, open),
        }
        &self.last
    }

    /// Reads the times of the routes alone: after it was replaced, the thread still ends its holds
    /// and awaits. The hold that it has not ended counts as an await, as it will when it ends.
    fn read_routes(
        &mut self,
        reader: &mut Reader,
        sums: &mut RouteSums,
        open: Option<(usize, RouteTimes)>,
    ) {
        if let Some(slot) = self.read_slot(reader) {
            let hold = slot.snapshot.hold.zip(self.shared.replaced());
            let awaits = hold.map(|(hold, replaced)| {
                let mut times = RouteTimes::default();
                times.awaits.begin(hold.since.max(replaced));
                (hold.route, times)
            });
            self.last.open = [open, awaits];
            self.last.ended = slot.snapshot.settled.ended;
            self.take_routes(slot, reader, sums);
        }
    }

    /// Reads slot and counters until they belong together.
    fn read_clock(&mut self, reader: &mut Reader, sums: &mut RouteSums) {
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            // A thread that stands still in the middle of a mark: the last times remain.
            let Some(slot) = self.read_slot(reader) else {
                return;
            };
            if self.compute(&slot.snapshot, reader).is_none() {
                return;
            }
            self.take_routes(slot, reader, sums);
            // After the last attempt, at a thread that marks without a pause, the time since the
            // slot was read is too short to matter.
            if self.shared.slot.is_unchanged(slot.sequence) {
                return;
            }
        }
    }

    /// Computes the times up to now from a snapshot. `None` if the thread has ended without dropping its registration:
    /// the last times remain.
    fn compute(&mut self, snapshot: &Snapshot, reader: &Reader) -> Option<()> {
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
            self.last.state = None;
            (self.last.wait, self.wait) = (None, None);
            return None;
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
            let wait = self.wait.as_ref();
            let sleeps = || {
                let sees = || wait.and_then(OwnWait::sleeps);
                let is_turn = reader.turn.is_of(source.thread().tid);
                !is_turn || sees().unwrap_or_else(|| source.other_sleeps())
            };
            let observation = evidence.observe(moment, sleeps, || source.look_at_other(&counters));
            activity = observation.activity;
            observation.blocked
        });
        let WindowTimes {
            times: open,
            held_back,
        } = settled;
        let is_parked = window.parks.park.is_some();
        self.last.state = activity
            .filter(|_| !ended)
            .map(|activity| self.state(activity, is_parked));
        self.last.now = counters.wall;
        let decided = counters.wall - held_back;
        self.last.wall = decided.duration_since(self.shared.began);
        let hold = snapshot.hold.map(|hold| open_hold(hold, &open, decided));
        times += open;
        self.last.times = times;
        self.find_start(&window, &open, counters.wall);
        self.find_wait(has_run, &reader.client_ports);
        self.last.open = [hold, None];
        self.last.ended = ended;
        Some(())
    }

    /// Finds when the present state began. `open` are the times in the window, of which a park is a part.
    fn find_start(&mut self, window: &Window, open: &Times, now: Timestamp) {
        let at_most = match (self.last.state, window.parks.park) {
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
            (self.last.wait, self.wait) = (None, None);
            return;
        }
        let known = self.wait.take();
        let known = known.filter(|wait| !has_run && wait.on().is_some());
        let find = || OwnWait::find(self.shared.source.thread().tid, client_ports);
        let wait = self.wait.insert(known.unwrap_or_else(find));
        self.last.wait = Some(SeenWait {
            on: wait.on(),
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

    /// Reads the slot. If it has changed since the last reading, its words are in `reader.words`.
    fn read_slot(&self, reader: &mut Reader) -> Option<SeenSlot> {
        let (slot, routes) = (&self.shared.slot, reader.known_routes);
        let seen = self.seen.filter(|seen| seen.routes == routes);
        if let Some(seen) = seen.filter(|seen| slot.is_unchanged(seen.sequence)) {
            return Some(seen);
        }
        let mut sequence = slot.read(Snapshot::slot_words(routes), &mut reader.words)?;
        let (mut snapshot, _) = Snapshot::of_slot(&reader.words);
        if snapshot.settled.ended {
            // It will not be read again: all of it, with routes that have only just become known.
            sequence = slot.read(slot.len(), &mut reader.words)?;
            (snapshot, _) = Snapshot::of_slot(&reader.words);
        }
        Some(SeenSlot {
            sequence,
            routes,
            snapshot,
        })
    }

    /// Takes over the times of the routes from `reader.words`, if the slot has changed.
    fn take_routes(&mut self, slot: SeenSlot, reader: &Reader, sums: &mut RouteSums) {
        let before = self.seen.replace(slot);
        if before.is_some_and(|seen| (seen.sequence, seen.routes) == (slot.sequence, slot.routes)) {
            return;
        }
        sums.leave(&self.last.routes);
        let (_, routes) = Snapshot::of_slot(&reader.words);
        self.last.routes.clear();
        self.last.routes.extend(routes);
        sums.join(&self.last.routes);
    }
}

/// The part of a hold that the thread has not accounted yet. What is held back counts as its end.
fn open_hold(hold: OpenHold, window: &Times, until: Timestamp) -> (usize, RouteTimes) {
    let times = RouteTimes {
        held: Held::within(window, until.duration_since(hold.since)),
        ..RouteTimes::default()
    };
    (hold.route, times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_its_turn_and_few_threads_have_it_always() {
        // Threads of two pools that were started in turn.
        let looks = |reading, blocked: usize| {
            let turn = Turn { reading, blocked };
            let tids = (0..blocked as i32).map(|index| 1_001 + 2 * index);
            tids.filter(move |tid| turn.is_of(*tid))
        };
        for reading in 0..4 {
            assert_eq!(looks(reading, MOST_LOOKS).count(), MOST_LOOKS);
            let count = looks(reading, 4 * MOST_LOOKS).count();
            assert!((100..160).contains(&count), "{count}");
        }
        let turns = 7..11;
        let mut all: Vec<_> = turns.flat_map(|reading| looks(reading, 500)).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq((0..500).map(|index| 1_001 + 2 * index)));
    }
}
