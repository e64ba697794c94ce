//! All threads of one index.

use std::sync::Arc;

use tokio::runtime::Id;

use super::blocked_on::BlockedOn;
use super::handover::Candidate;
use super::observer::{Observer, Reader, ThreadTimes};
use super::prefetch::prefetch;
use super::published::Published;
use super::reading::ThreadReading;
use super::route_sums::RouteSums;
use super::route_times::RouteTimes;
use super::shared::Shared;
use super::state::{State, Times};
use super::units::{Nanos, Timestamp};
use super::worker::Worker;
use crate::waits::On;

/// All threads that have had one index: a metric's series goes on when a thread ends and another
/// gets its index.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The latest thread, if its slot still changes. It is the only one that may count. In place, so that a reading, whose
    /// time is that of the memory in no cache, finds it beside its account.
    latest: Option<Observer>,
    /// Threads before it that were replaced, and have not ended.
    earlier: Vec<Observer>,
    ended: Ended,
    published: Published,
    published_wall: Nanos,
    blocked_on: BlockedOn,
}

/// Sums over the threads that have ended.
#[derive(Debug, Default)]
struct Ended {
    times: Times,
    wall: Nanos,
}

impl Account {
    pub(super) fn add_thread(&mut self, shared: Arc<Shared>, worker: Option<Worker>) {
        let before = self.latest.replace(Observer::new(shared, worker));
        self.earlier.extend(before);
    }

    /// Returns whether no living thread has this index.
    pub(super) fn is_free(&self) -> bool {
        let mut observers = self.earlier.iter().chain(&self.latest);
        observers.all(|observer| !observer.counts())
    }

    /// Returns whether a thread of this index is `worker`.
    pub(super) fn is(&self, worker: Worker) -> bool {
        let mut observers = self.earlier.iter().chain(&self.latest);
        observers.any(|observer| observer.is(worker))
    }

    /// The thread of this index, if it is taken for a worker of `runtime`.
    pub(super) fn candidate(&self, index: usize, runtime: Id) -> Option<Candidate> {
        let mut observers = self.earlier.iter().chain(&self.latest);
        observers.find_map(|observer| observer.candidate(index, runtime))
    }

    /// See [`Observer::handover`].
    pub(super) fn handover(&self, clock: &Arc<Shared>) -> Option<Timestamp> {
        let mut observers = self.earlier.iter().chain(&self.latest);
        observers.find_map(|observer| observer.handover(clock))
    }

    /// Ends the time of the thread that is `worker`, see [`Observer::replace`].
    pub(super) fn replace(
        &mut self,
        worker: Worker,
        handover: Timestamp,
        reader: &mut Reader,
        sums: &mut RouteSums,
    ) {
        let mut observers = self.earlier.iter_mut().chain(&mut self.latest);
        if let Some(observer) = observers.find(|observer| observer.is(worker)) {
            let (times, wall) = observer.replace(handover, reader, sums);
            self.ended.times += times;
            self.ended.wall += wall;
        }
    }

    /// Forgets threads that have ended, but for their sums.
    pub(super) fn settle_ended(&mut self, reader: &mut Reader, sums: &mut RouteSums) {
        let ended_sums = &mut self.ended;
        retain(&mut self.earlier, &mut self.latest, |observer| {
            let ended = observer.has_ended();
            if ended {
                ended_sums.add(observer.read(reader, sums), sums);
            }
            !ended
        });
    }

    /// Loads a word of the latest thread, see [`Observer::touch`].
    pub(super) fn touch(&self) {
        self.latest.iter().for_each(Observer::touch);
    }

    /// Fetches this account, and what its latest thread shares.
    pub(super) fn prefetch(&self) {
        prefetch(self);
        self.latest.iter().for_each(Observer::prefetch_shared);
    }

    /// Reads every thread once: those that have ended for the last time. Calls `open` with the times of routes that the
    /// others have not accounted yet.
    pub(super) fn read(
        &mut self,
        index: usize,
        reader: &mut Reader,
        sums: &mut RouteSums,
        mut open: impl FnMut(usize, RouteTimes),
    ) -> ThreadReading {
        let (mut times, mut wall) = (Times::default(), Nanos::ZERO);
        let (mut state, mut os_thread, mut wait) = (None, None, None);
        let mut now = Timestamp::default();
        let ended_sums = &mut self.ended;
        retain(&mut self.earlier, &mut self.latest, |observer| {
            let own = observer.thread();
            let thread = observer.read(reader, sums);
            now = now.max(thread.now);
            if thread.ended {
                ended_sums.add(thread, sums);
                return false;
            }
            for (route, times) in thread.open.into_iter().flatten() {
                open(route, times);
            }
            times += thread.times;
            wall += thread.wall;
            state = state.or(thread.state.map(|state| (state, thread.since)));
            wait = wait.or(thread.wait);
            os_thread = os_thread.or(own);
            true
        });
        times += self.ended.times;
        wall += self.ended.wall;
        // A thread reads its last time before it can publish its end, so that its final wall time may
        // be below one that a reader has seen in between.
        self.published_wall = self.published_wall.max(wall);
        let before = self.published.times()[State::Blocked];
        let times = self.published.advance(times);
        let blocked = times[State::Blocked] - before;
        self.blocked_on.add(blocked, now, wait);
        ThreadReading {
            index,
            os_thread,
            state: state.map(|(state, _)| state),
            state_since: state.map(|(_, since)| since),
            waits_on: wait.map(|wait| wait.on.unwrap_or(On::Other)),
            wall: self.published_wall,
            times,
            blocked_on: self.blocked_on.times(),
        }
    }
}

/// Keeps the observers for which `keep` returns true.
fn retain(
    earlier: &mut Vec<Observer>,
    latest: &mut Option<Observer>,
    mut keep: impl FnMut(&mut Observer) -> bool,
) {
    earlier.retain_mut(&mut keep);
    if latest.as_mut().is_some_and(|observer| !keep(observer)) {
        *latest = None;
    }
}

impl Ended {
    /// Adds the final times of a thread, and moves those of its routes.
    fn add(&mut self, thread: &ThreadTimes, sums: &mut RouteSums) {
        sums.leave(&thread.routes);
        let routes = thread.routes.iter().copied().enumerate();
        for (route, times) in routes.chain(thread.open.into_iter().flatten()) {
            sums.add_ended(route, times);
        }
        self.times += thread.times;
        self.wall += thread.wall;
    }
}
