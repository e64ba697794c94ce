//! The clock of the calling thread: what it marks, and what it publishes.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task;

use super::evidence::Evidence;
use super::in_flight::InFlight;
use super::kernel::{self, Reading, Source, Unsupported};
use super::route::{Held, Hold, RouteTimes};
use super::slot::Slot;
use super::snapshot::Snapshot;
use super::state::Times;
use super::window::{Park, Window};

/// Counters are read at every mark while marks are few; beyond this many a second, on average,
/// at some of them: a read costs 1 to 2 µs, so that this is 0.2 % of a CPU.
const READS_PER_SECOND: u64 = 1_000;
/// Reads that may follow each other at once, after a quiet time.
const READS_AT_ONCE: u64 = 32;
/// Work, for a route or for none, of more than this many nanoseconds pays for a read.
const LONG_WORK: u64 = 100_000;

thread_local! {
    static CURRENT: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Runs `f` on the calling thread's clock; `None` if the thread is not registered.
pub(super) fn with<R>(f: impl FnOnce(&mut Clock) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| current.try_borrow_mut().ok()?.as_mut().map(f))
        .ok()?
}

/// Gives the calling thread a clock, and returns the one it had.
pub(super) fn replace(clock: Option<Clock>) -> Option<Clock> {
    CURRENT.try_with(|current| current.replace(clock)).ok()?
}

/// One thread's clock. The thread alone touches it; others read what it publishes in its slot.
#[derive(Debug)]
pub(super) struct Clock {
    index: usize,
    shared: Arc<Shared>,
    window: Window,
    /// The times up to the window's base.
    settled: Times,
    hold: Option<Hold>,
    /// When the last hold or park ended: since then the thread works for no route.
    unheld: u64,
    /// One for each route of the registry.
    routes: Vec<RouteTimes>,
    /// Whether the counters were read since the last mark was published.
    was_read: bool,
    /// When the read budget will be whole again, in nanoseconds of `CLOCK_MONOTONIC`.
    budget_full_at: u64,
    /// In which task the thread found that another had taken its place.
    replaced_in: Option<task::Id>,
    ended: bool,
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread shares with the exporter.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) slot: Slot,
    pub(super) in_flight: Arc<InFlight>,
    /// The exporter's, which never makes the thread wait.
    pub(super) evidence: Mutex<Evidence>,
    /// When the clock began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) began: u64,
    /// When another thread took this one's place, so that its time counts no more; 0 if none has.
    pub(super) replaced: AtomicU64,
}

impl Clock {
    /// Starts the clock of the calling thread, which bears this index: as from now, or from the
    /// thread's own start if that is given, in nanoseconds of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    ///
    /// When this system tells nothing of its threads.
    pub(super) fn start(
        index: usize,
        in_flight: Arc<InFlight>,
        routes: usize,
        thread_started: Option<u64>,
    ) -> Result<Self, Unsupported> {
        let source = Source::of_this_thread()?;
        let base = match thread_started {
            Some(wall) => Reading {
                wall,
                ..Reading::default()
            },
            None => source.read_own(kernel::now()),
        };
        let slot = Slot::new(Snapshot::slot_words(routes));
        let mut clock = Self {
            index,
            shared: Arc::new(Shared {
                source,
                slot,
                in_flight,
                evidence: Mutex::default(),
                began: base.wall,
                replaced: AtomicU64::new(0),
            }),
            window: Window::new(base, None),
            settled: Times::default(),
            hold: None,
            unheld: base.wall,
            routes: vec![RouteTimes::default(); routes],
            was_read: true,
            budget_full_at: 0,
            replaced_in: None,
            ended: false,
        };
        clock.publish(None);
        Ok(clock)
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn in_flight(&self) -> &Arc<InFlight> {
        &self.shared.in_flight
    }

    /// Whether the thread's time counts, because no other has taken its place. What it does once one
    /// has is done without a server thread, so that its hold is an await from then on.
    pub(super) fn counts(&self) -> bool {
        self.replaced().is_none()
    }

    fn replaced(&self) -> Option<u64> {
        let replaced = self.shared.replaced.load(Ordering::Acquire);
        (replaced > 0).then_some(replaced)
    }

    /// The thread now waits for work.
    pub(super) fn park(&mut self) {
        if self.window.park.is_some() || self.hold.is_some() || !self.counts() {
            return;
        }
        let wall = kernel::now();
        if self.may_read(wall) || self.worked_long_for_none(wall) {
            self.read(wall);
        }
        self.window.park = Some(Park {
            wall,
            in_flight: self.shared.in_flight.park(wall),
        });
        self.publish(None);
    }

    /// The thread has work again.
    pub(super) fn unpark(&mut self) {
        if self.window.park.is_none() || !self.counts() {
            return;
        }
        let wall = kernel::now();
        self.window.unpark(wall, self.shared.in_flight.unpark(wall));
        if self.may_read(wall) {
            self.read(wall);
        }
        self.unheld = wall;
        self.publish(None);
    }

    /// The thread works for `route` from `wall` on, until [`Self::release`]; `awaited` says that
    /// this ends an await. A hold within a hold is the outer one's, so that no time counts twice.
    ///
    /// Returns whether the thread was replaced and is a worker again, so that it needs another clock.
    pub(super) fn hold(&mut self, wall: u64, route: usize, awaited: bool) -> bool {
        if awaited {
            self.route(route, |times| times.end_await(wall));
        }
        if let Some(hold) = &mut self.hold {
            hold.inner += 1;
        } else if self.counts() {
            self.begin_hold(route, wall);
        }
        self.publish(Some(route));
        self.hold.is_none() && self.is_in_another_task()
    }

    /// Whether the thread has left the task in which it was replaced. It then is a worker again: only
    /// those come from one task to another.
    fn is_in_another_task(&mut self) -> bool {
        let task = task::try_id();
        if self.replaced_in.is_none() {
            self.replaced_in = task;
        }
        self.replaced_in != task
    }

    fn begin_hold(&mut self, route: usize, wall: u64) {
        // A slow client, say, for whose request the thread waited: that was not for this route.
        if self.worked_long_for_none(wall) {
            self.read(wall);
        }
        self.hold = Some(Hold::new(route, wall));
    }

    /// Whether the thread, which holds no route, is to read its counters now, so that what it did
    /// is not charged to the route that comes next.
    fn worked_long_for_none(&self, wall: u64) -> bool {
        wall.saturating_sub(self.unheld) > LONG_WORK
    }

    /// What the present hold has come to up to `wall`.
    pub(super) fn held(&mut self, wall: u64) -> Held {
        let Some(Hold { route, .. }) = self.hold else {
            return Held::default();
        };
        self.account_hold(wall);
        self.publish(Some(route));
        self.hold.map(|hold| hold.held).unwrap_or_default()
    }

    /// Ends a hold at `wall`; `awaits` says that the route's work now waits without the thread.
    /// Returns what the hold came to, which is nothing if it was within another.
    pub(super) fn release(&mut self, wall: u64, route: usize, awaits: bool) -> Held {
        let held = match &mut self.hold {
            Some(hold) if hold.inner > 0 => {
                hold.inner -= 1;
                Held::default()
            }
            _ => {
                self.account_hold(wall);
                self.unheld = wall;
                self.hold.take().map(|hold| hold.held).unwrap_or_default()
            }
        };
        if awaits {
            self.route(route, |times| times.begin_await(wall));
        }
        self.publish(Some(route));
        held
    }

    /// An await of `route` ended, and its work is not taken up again.
    pub(super) fn end_await(&mut self, wall: u64, route: usize) {
        self.route(route, |times| times.end_await(wall));
        self.publish(Some(route));
    }

    /// Settles everything for good; the exporter reads no counter of this thread any more.
    fn end(&mut self) {
        let wall = kernel::now();
        self.account_hold(wall);
        let held = self.hold.take().map(|hold| hold.route);
        if self.window.park.is_some() {
            self.window.unpark(wall, self.shared.in_flight.unpark(wall));
        }
        self.read(wall);
        self.ended = true;
        self.publish(held);
    }

    /// Adds what passed since the hold was last accounted to it and to its route.
    fn account_hold(&mut self, wall: u64) {
        let Some(Hold { since, .. }) = self.hold else {
            return;
        };
        if let Some(replaced) = self.replaced() {
            // Up to then, the registry has accounted it.
            return self.await_since(replaced, wall);
        }
        let length = wall.saturating_sub(since);
        if length > LONG_WORK {
            self.read(wall);
        } else {
            self.add_to_hold(wall, Held::running(length));
        }
    }

    /// What was a hold has been an await since the thread was replaced.
    fn await_since(&mut self, replaced: u64, wall: u64) {
        self.replaced_in = task::try_id();
        let Some(hold) = &mut self.hold else { return };
        let since = std::mem::replace(&mut hold.since, wall).max(replaced);
        let route = hold.route;
        self.route(route, |times| {
            times.begin_await(since);
            times.end_await(wall);
        });
    }

    fn add_to_hold(&mut self, wall: u64, part: Held) {
        let Some(hold) = &mut self.hold else { return };
        hold.since = wall;
        hold.held += part;
        let route = hold.route;
        self.route(route, |times| times.held += part);
    }

    fn route(&mut self, route: usize, change: impl FnOnce(&mut RouteTimes)) {
        if let Some(times) = self.routes.get_mut(route) {
            change(times);
        }
    }

    /// Reads the counters and closes the window with them, and the part of it that was a hold.
    fn read(&mut self, wall: u64) {
        let now = self.shared.source.read_own(wall);
        let in_flight = self.shared.in_flight.clock(wall);
        let times = self
            .window
            .settle(&now, in_flight, || self.not_blocked(&now));
        self.settled += times;
        if let Some(Hold { since, .. }) = self.hold {
            self.add_to_hold(wall, Held::within(&times, wall.saturating_sub(since)));
        }
        let park = self.window.park.map(|_| Park { wall, in_flight });
        self.window = Window::new(now, park);
        self.was_read = true;
    }

    fn not_blocked(&self, now: &Reading) -> u64 {
        if !self.window.may_have_blocked(now.switches) {
            return u64::MAX;
        }
        // The exporter looks at this thread just now: what it sees will be in the next window.
        let Ok(evidence) = self.shared.evidence.try_lock() else {
            return 0;
        };
        evidence.of(&self.window, now)
    }

    /// Whether the budget of reads has one left: a token bucket, kept as the time at which it
    /// will be full again (the generic cell rate algorithm, ITU-T I.371).
    fn may_read(&mut self, wall: u64) -> bool {
        const INTERVAL: u64 = 1_000_000_000 / READS_PER_SECOND;
        let full_at = self.budget_full_at.max(wall) + INTERVAL;
        let allowed = full_at - wall <= READS_AT_ONCE * INTERVAL;
        if allowed {
            self.budget_full_at = full_at;
        }
        allowed
    }

    /// Publishes what has changed, and the times of one route, as one change.
    fn publish(&mut self, route: Option<usize>) {
        let snapshot = Snapshot {
            settled: self.settled,
            window: self.window,
            hold: self.hold.map(|hold| (hold.route, hold.since)),
            ended: self.ended,
        };
        let was_read = std::mem::take(&mut self.was_read);
        self.shared.slot.write(|words| {
            if was_read || route.is_none() {
                words.set(0, &snapshot.to_words());
            } else {
                words.set(Snapshot::HOLD, &snapshot.hold_words());
            }
            if let Some(route) = route
                && let Some(times) = self.routes.get(route)
            {
                words.set(Snapshot::route_word(route), &times.to_words());
            }
        });
    }
}
