//! The clock of the calling thread: its marks, and what it publishes of them.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::task;

use super::blocking_calls::BlockingCalls;
use super::evidence::Moment;
use super::hold::{Held, Hold, HoldEnd, HoldStart, OpenHold};
use super::in_flight::InFlight;
use super::kernel::{Counters, Source, Unsupported};
use super::long_holds::LongHolds;
use super::read_budget::ReadBudget;
use super::route_times::RouteTimes;
use super::shared::Shared;
use super::slot::Slot;
use super::snapshot::{Settled, Snapshot};
use super::state::Times;
use super::units::{Nanos, Timestamp};
use super::window::{BlockedBounds, OffCpu, Park, Parks, Window, WindowTimes};
use super::words::{Words, to_array};

/// Work that took longer than this, for a route or for none, pays for a read: 2 µs are 2 % of it. What
/// is shorter counts as running, and is too short to matter if it was not.
const LONG_WORK: Nanos = Nanos::from_micros(100);
/// Length of a window from which on a hold that begins may close it, as a park may. A server thread that finds its next
/// request without a wait does not park.
const LONG_WINDOW: Nanos = Nanos::from_millis(1);
/// Events that the event loop finds within this time after it parks were there before: it would
/// otherwise have slept. Its own work for one event takes some microseconds. If it takes longer, because the
/// thread was preempted, the number of its context switches decides.
const FOUND_AT_ONCE: Nanos = Nanos::from_micros(200);
/// A hold longer than this delays the events that it keeps the thread from noticing.
const STALL: Nanos = Nanos::from_millis(1);

thread_local! {
    static CURRENT: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Runs `f` on the calling thread's clock; `None` if the thread is not registered.
pub(super) fn with<R>(f: impl FnOnce(&mut Clock) -> R) -> Option<R> {
    // Both fail only within `f` and at the very end of a thread, when its clock is being dropped.
    CURRENT
        .try_with(|current| current.try_borrow_mut().ok()?.as_mut().map(f))
        .ok()?
}

/// Gives the calling thread a clock, and returns the one it had.
pub(super) fn replace(clock: Option<Clock>) -> Option<Clock> {
    CURRENT.try_with(|current| current.replace(clock)).ok()?
}

/// Result of a mark at which a hold begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HoldMark {
    /// The hold is marked; or the thread has been replaced, and its work is an await.
    Marked,
    /// The thread was replaced and has become a worker again, so that it needs another clock.
    NeedsClock,
}

/// One thread's clock. Only the thread itself touches it; others read what it publishes in its slot.
///
/// Everything that marks change is plain state in here, so that a mark costs a few stores. The
/// counters are read at few of them (see [`ReadBudget`]), which closes the window.
#[derive(Debug)]
pub(super) struct Clock {
    index: usize,
    shared: Arc<Shared>,
    window: Window,
    /// Times up to the window's base.
    times: Times,
    hold: Option<Hold>,
    /// End of the last hold or park: since then the thread works for no route.
    unheld: Timestamp,
    /// Times of the routes up to the last one that this thread has worked for: most threads work for few of the routes
    /// that a registry has room for.
    routes: Vec<RouteTimes>,
    /// The counters were read since the last mark was published.
    was_read: bool,
    budget: ReadBudget,
    /// The task in which the thread found that another had replaced it.
    replaced_in: Option<task::Id>,
    /// Start of the first hold longer than [`STALL`] since the thread was last parked.
    stalled_since: Option<Timestamp>,
    long_holds: Arc<LongHolds>,
    blocking_calls: Arc<BlockingCalls>,
    ended: bool,
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.end();
    }
}

impl Clock {
    /// Starts the clock of the calling thread under this index: as from now, or from the thread's own
    /// start if that is given.
    ///
    /// # Errors
    ///
    /// When this system has no counters of threads.
    pub(super) fn start(
        index: usize,
        in_flight: Arc<InFlight>,
        long_holds: Arc<LongHolds>,
        blocking_calls: Arc<BlockingCalls>,
        thread_started: Option<Timestamp>,
    ) -> Result<Self, Unsupported> {
        let routes = long_holds.routes().capacity();
        let source = Source::of_this_thread()?;
        let base = match thread_started {
            Some(wall) => Counters::at_start(wall),
            None => {
                let now = Timestamp::now();
                let start = Counters::at_start(now);
                source.read_own(now, &start).ok_or(Unsupported)?
            }
        };
        let slot = Slot::new(Snapshot::slot_words(routes));
        let mut clock = Self {
            index,
            shared: Arc::new(Shared::new(source, slot, in_flight, base.wall)),
            window: Window::new(base, None),
            times: Times::default(),
            hold: None,
            unheld: base.wall,
            routes: Vec::new(),
            was_read: true,
            budget: ReadBudget::default(),
            replaced_in: None,
            stalled_since: None,
            long_holds,
            blocking_calls,
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

    /// Long holds of the server to which the thread belongs.
    pub(super) fn long_holds(&self) -> &Arc<LongHolds> {
        &self.long_holds
    }

    /// Calls of the server on blocking pools.
    pub(super) fn blocking_calls(&self) -> &Arc<BlockingCalls> {
        &self.blocking_calls
    }

    /// Returns whether this thread still owns its worker. After another thread has replaced it, its
    /// work counts as awaiting.
    pub(super) fn counts(&self) -> bool {
        self.shared.replaced().is_none()
    }

    /// Marks that the thread waits for work.
    pub(super) fn park(&mut self) {
        if self.window.parks.park.is_some() || self.hold.is_some() || !self.counts() {
            return;
        }
        let wall = Timestamp::now();
        // The budget may be spent, but long work for no route must not be charged to the route that
        // comes after the park.
        if self.budget.take(wall) || self.worked_long_for_no_route(wall) {
            self.read(wall);
        }
        self.window.parks.park = Some(Park {
            wall,
            in_flight: self.shared.in_flight.park(wall),
        });
        self.publish_parks();
    }

    /// Marks that the thread has work again.
    pub(super) fn unpark(&mut self) {
        if self.window.parks.park.is_none() || !self.counts() {
            return;
        }
        let wall = Timestamp::now();
        self.window
            .parks
            .unpark(wall, self.shared.in_flight.unpark(wall));
        if self.budget.take(wall) {
            self.read(wall);
        }
        self.unheld = wall;
        self.stalled_since = None;
        self.publish_parks();
    }

    /// Marks that the thread works for `route` from `wall` on, until [`Self::release`]. A hold within
    /// another counts as part of the outer one, so that no time counts twice.
    pub(super) fn hold(&mut self, wall: Timestamp, route: usize, start: HoldStart) -> HoldMark {
        match start {
            HoldStart::New => {}
            HoldStart::AfterAwait => self.route(route, |times| times.awaits.end(wall)),
            HoldStart::AfterWake => self.route(route, |times| times.readies.end(wall)),
        }
        if let Some(hold) = &mut self.hold {
            hold.inner += 1;
        } else if self.counts() {
            self.begin_hold(route, wall);
        }
        // A new hold has changed no times of its route yet.
        self.publish((start != HoldStart::New).then_some(route));
        if self.hold.is_none() && self.is_in_another_task() {
            HoldMark::NeedsClock
        } else {
            HoldMark::Marked
        }
    }

    /// Returns whether the thread has left the task in which it was replaced. It then is a worker
    /// again: after `block_in_place` a thread finishes its task without a worker, and only workers go
    /// from one task to another.
    fn is_in_another_task(&mut self) -> bool {
        let task = task::try_id();
        if self.replaced_in.is_none() {
            self.replaced_in = task;
        }
        self.replaced_in != task
    }

    fn begin_hold(&mut self, route: usize, wall: Timestamp) {
        // The thread may have waited for a slow client to send the request, which was not for this
        // route.
        if self.worked_long_for_no_route(wall) || self.closes_window(wall) {
            self.read(wall);
        }
        self.hold = Some(Hold::new(route, wall));
    }

    /// Returns whether the thread, which holds no route, has to read its counters now, so that its
    /// time is not charged to the next route.
    fn worked_long_for_no_route(&self, wall: Timestamp) -> bool {
        wall.duration_since(self.unheld) > LONG_WORK
    }

    /// Returns whether the counters are read because they were last read long ago.
    fn closes_window(&mut self, wall: Timestamp) -> bool {
        let length = wall.duration_since(self.window.base.wall);
        length > LONG_WINDOW && self.budget.take(wall)
    }

    /// Times of the present hold up to `wall`.
    pub(super) fn held(&mut self, wall: Timestamp) -> Held {
        let Some(hold) = self.hold else {
            return Held::default();
        };
        self.account_hold(wall);
        self.publish(Some(hold.open.route));
        self.hold.map(|hold| hold.held).unwrap_or_default()
    }

    /// Marks the end of a hold at `wall`. Returns the times of the hold, which are zero if it was
    /// within another.
    pub(super) fn release(&mut self, wall: Timestamp, route: usize, end: HoldEnd) -> Held {
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
        if end == HoldEnd::Awaits {
            self.route(route, |times| times.awaits.begin(wall));
        }
        self.publish(Some(route));
        held
    }

    /// Marks a change of the waits of `route` that neither begins nor ends a hold.
    pub(super) fn wait(&mut self, route: usize, change: impl FnOnce(&mut RouteTimes)) {
        self.route(route, change);
        self.publish(Some(route));
    }

    /// Returns the time from which on the event that the thread has found `now` waited for a thread.
    ///
    /// An event loop that found it at once when it parked, after a route had held the thread for long, did
    /// not look before. The event may have come at any moment of that hold; the start is the bound.
    pub(super) fn time_of_event(&self, now: Timestamp) -> Timestamp {
        let (Some(park), Some(stalled)) = (self.window.parks.park, self.stalled_since) else {
            return now;
        };
        // The counters were read at the end of the stall, or later.
        let found_at_once = now.duration_since(park.wall) < FOUND_AT_ONCE
            || !self.shared.source.has_slept_since(&self.window.base);
        if found_at_once { stalled } else { now }
    }

    /// Settles everything; the exporter reads no counter of this thread afterwards.
    fn end(&mut self) {
        let wall = Timestamp::now();
        self.account_hold(wall);
        let held = self.hold.take().map(|hold| hold.open.route);
        if self.window.parks.park.is_some() {
            self.window
                .parks
                .unpark(wall, self.shared.in_flight.unpark(wall));
        }
        self.read(wall);
        (self.ended, self.was_read) = (true, true);
        self.publish(held);
    }

    /// Adds the time since the hold was last accounted to it and to its route.
    fn account_hold(&mut self, wall: Timestamp) {
        let Some(hold) = &self.hold else {
            return;
        };
        let length = wall.duration_since(hold.open.since);
        if let Some(replaced) = self.shared.replaced() {
            // The registry has accounted the time up to then.
            self.await_since(replaced, wall);
        } else if length > LONG_WORK {
            if length > STALL {
                self.stalled_since.get_or_insert(hold.open.since);
            }
            self.read(wall);
        } else {
            self.add_to_hold(wall, Held::running(length));
        }
    }

    /// Counts a hold as an await since the thread was replaced.
    fn await_since(&mut self, replaced: Timestamp, wall: Timestamp) {
        self.replaced_in = task::try_id();
        let Some(hold) = &mut self.hold else { return };
        let since = std::mem::replace(&mut hold.open.since, wall).max(replaced);
        let route = hold.open.route;
        self.route(route, |times| {
            times.awaits.begin(since);
            times.awaits.end(wall);
        });
    }

    fn add_to_hold(&mut self, wall: Timestamp, part: Held) {
        let Some(hold) = &mut self.hold else { return };
        hold.open.since = wall;
        hold.held += part;
        let route = hold.open.route;
        self.route(route, |times| times.held += part);
    }

    fn route(&mut self, route: usize, change: impl FnOnce(&mut RouteTimes)) {
        if route >= self.routes.len() {
            self.make_room(route);
        }
        if let Some(times) = self.routes.get_mut(route) {
            change(times);
        }
    }

    /// Makes room for the times of a route, if the registry has it.
    #[cold]
    fn make_room(&mut self, route: usize) {
        if route < self.long_holds.routes().capacity() {
            self.routes.resize(route + 1, RouteTimes::default());
        }
    }

    /// Reads the counters and closes the window with them, and the part of it that was a hold. Where the
    /// counters cannot be read, the window stays open.
    fn read(&mut self, wall: Timestamp) {
        let Some(now) = self.shared.source.read_own(wall, &self.window.base) else {
            return;
        };
        let in_flight = self.shared.in_flight.clock(wall);
        let blocked = |off_cpu| BlockedBounds::exactly(self.blocked(&now, off_cpu));
        // The thread itself runs, so that nothing is held back.
        let WindowTimes { times, .. } = self.window.settle(&now, in_flight, blocked);
        self.times += times;
        if let Some(hold) = &self.hold {
            let length = wall.duration_since(hold.open.since);
            self.add_to_hold(wall, Held::within(&times, length));
        }
        let park = self.window.parks.park.map(|_| Park { wall, in_flight });
        self.window = Window::new(now, park);
        self.was_read = true;
    }

    fn blocked(&self, now: &Counters, off_cpu: OffCpu) -> Nanos {
        if !self.window.may_have_blocked(now.switches) {
            return Nanos::ZERO;
        }
        // The exporter observes this thread just now: its evidence is for the next window.
        let Ok(evidence) = self.shared.evidence.try_lock() else {
            return off_cpu.rest;
        };
        evidence.blocked(Moment {
            window: &self.window,
            now,
            off_cpu,
        })
    }

    /// Publishes the marks, and the times of one route that have changed, as one change: a reader that saw the end of a
    /// hold without its time would find the route's counter lower than before.
    fn publish(&mut self, route: Option<usize>) {
        let was_read = std::mem::take(&mut self.was_read);
        let hold: [u64; <Option<OpenHold>>::COUNT] = to_array(&self.hold.map(|hold| hold.open));
        self.shared.slot.write(|slot| {
            // Between two reads, a hold changes nothing else: 3 words instead of 20.
            if was_read {
                let settled: [u64; Settled::COUNT] = to_array(&Settled {
                    times: self.times,
                    window: self.window,
                    ended: self.ended,
                });
                slot.set(Snapshot::SETTLED, &settled);
            }
            slot.set(Snapshot::HOLD, &hold);
            if let Some(route) = route {
                if let Some(times) = self.routes.get(route) {
                    let times: [u64; RouteTimes::COUNT] = to_array(times);
                    slot.set(Snapshot::route(route), &times);
                }
            }
        });
    }

    /// Publishes the parks. There is no hold at that time.
    fn publish_parks(&mut self) {
        if self.was_read {
            return self.publish(None);
        }
        let parks: [u64; Parks::COUNT] = to_array(&self.window.parks);
        let slot = &self.shared.slot;
        slot.write(|slot| slot.set(Snapshot::PARKS, &parks));
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::super::registry::Registry;
    use super::*;

    /// Returns what an event that is found after a stall and a park counts from, relative to the start of the stall.
    fn time_of_event_after(find: impl FnOnce()) -> (Nanos, Nanos) {
        let registry = Registry::new("test", ["/".to_owned()]);
        let _registration = registry.register_current_thread();
        with(|clock| {
            let start = Timestamp::now();
            clock.hold(start, 0, HoldStart::New);
            thread::sleep(Duration::from_millis(5));
            clock.release(Timestamp::now(), 0, HoldEnd::Done);
            clock.park();
            find();
            let now = Timestamp::now();
            (
                clock.time_of_event(now).duration_since(start),
                now.duration_since(start),
            )
        })
        .unwrap()
    }

    #[test]
    fn an_event_that_is_found_without_sleeping_came_during_the_stall() {
        // As long as a preempted thread takes to find it.
        let (event, _) = time_of_event_after(|| {
            let start = Timestamp::now();
            while start.elapsed() < Nanos::from_millis(5) {}
        });
        assert_eq!(event, Nanos::ZERO);
    }

    #[test]
    fn an_event_for_which_the_thread_slept_came_when_it_was_found() {
        let (event, found) = time_of_event_after(|| thread::sleep(Duration::from_millis(5)));
        assert_eq!(event, found);
    }

    #[test]
    fn a_clock_has_room_for_the_routes_that_it_has_worked_for() {
        let registry = Registry::new("test", ["/".to_owned(), "/other".to_owned()]);
        let _registration = registry.register_current_thread();
        let capacity = registry.routes().capacity();
        let room_after_hold = |route| {
            with(|clock| {
                let start = Timestamp::now();
                clock.hold(start, route, HoldStart::New);
                clock.release(start + Nanos::from_micros(5), route, HoldEnd::Done);
                clock.routes.len()
            })
            .unwrap()
        };
        assert_eq!(room_after_hold(1), 2);
        assert_eq!(room_after_hold(0), 2);
        // A route of another registry, say.
        assert_eq!(room_after_hold(capacity), 2);
        let held: Vec<_> = registry
            .read()
            .routes
            .iter()
            .map(|route| route.held.total())
            .collect();
        assert_eq!(held[..2], [Nanos::from_micros(5); 2]);
        assert_eq!(room_after_hold(capacity - 1), capacity);
    }

    #[test]
    fn holds_without_parks_close_windows_of_a_millisecond() {
        let registry = Registry::new("test", ["/".to_owned()]);
        let _registration = registry.register_current_thread();
        let mut window_starts = with(|clock| {
            let start = clock.window.base.wall;
            // Neither the holds nor the time between them is long.
            let holds = (1..=40).map(|step| start + Nanos::from_micros(50 * step));
            let starts = holds.map(|wall| {
                clock.hold(wall, 0, HoldStart::New);
                clock.release(wall, 0, HoldEnd::Done);
                clock.window.base.wall.duration_since(start).as_micros()
            });
            starts.collect::<Vec<_>>()
        })
        .unwrap();
        window_starts.dedup();
        assert_eq!(window_starts, [0, 1_050]);
    }
}
