//! Holds that are long enough to delay others: counted one by one, and reported as events.
//!
//! Sums do not tell one hold of 2 s from 2,000 of 1 ms; the histograms do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::durations::{DurationCounts, Durations};
use super::hold::Held;
use super::routes::Routes;
use super::state::State;
use super::units::{Nanos, Timestamp};

/// Holds longer than this are counted: those whose end reads the counters anyway.
pub(super) const LONG_HOLD: Nanos = Nanos::from_micros(100);
/// Holds longer than this are reported, unless the application sets another threshold.
const REPORTED: Nanos = Nanos::from_millis(100);
/// Time between two events at least.
const PAUSE: Nanos = Nanos::from_secs(1);

/// States in which a hold can be.
const STATES: [State; 3] = [State::Running, State::Runnable, State::Blocked];

/// Long holds of one server, by route and state.
#[derive(Debug)]
pub(crate) struct LongHolds {
    server: Box<str>,
    routes: Arc<Routes>,
    /// One for each possible route, made at its first long hold.
    counts: Box<[OnceLock<Box<[Durations; 3]>>]>,
    /// Holds longer than this many nanoseconds are reported.
    report_from: AtomicU64,
    /// Time from which on the next event is allowed, in nanoseconds.
    next_event: AtomicU64,
    /// Number of events left out since the last one.
    suppressed: AtomicU64,
}

impl LongHolds {
    pub(super) fn new(server: &str, routes: Arc<Routes>) -> Self {
        Self {
            server: server.into(),
            counts: (0..routes.capacity()).map(|_| OnceLock::new()).collect(),
            routes,
            report_from: AtomicU64::new(REPORTED.as_nanos()),
            next_event: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    pub(super) fn warn_from(&self, threshold: Option<Duration>) {
        let threshold = threshold.map_or(Nanos::MAX, Nanos::from);
        self.report_from
            .store(threshold.as_nanos(), Ordering::Relaxed);
    }

    /// Counts a hold that has ended, and reports it if it is long enough.
    pub(super) fn add(&self, route: usize, thread: usize, held: &Held) {
        if let Some(counts) = self.counts.get(route) {
            let counts = counts.get_or_init(Box::default);
            for (counts, time) in counts.iter().zip(in_states(held)) {
                if time > LONG_HOLD {
                    counts.add(time);
                }
            }
        }
        if held.total().as_nanos() > self.report_from.load(Ordering::Relaxed) {
            self.report(route, thread, held);
        }
    }

    fn report(&self, route: usize, thread: usize, held: &Held) {
        let Some(suppressed) = self.take_event(Timestamp::now()) else {
            return;
        };
        tracing::warn!(
            server = &*self.server,
            http_route = self.routes.name(route).unwrap_or_default(),
            thread,
            seconds = held.total().as_secs_f64(),
            running = held.running.as_secs_f64(),
            runnable = held.runnable.as_secs_f64(),
            blocked = held.blocked.as_secs_f64(),
            suppressed,
            "a route held its thread for long",
        );
    }

    /// Returns the number of events left out since the last one, if another is allowed now.
    fn take_event(&self, now: Timestamp) -> Option<u64> {
        let next = self.next_event.load(Ordering::Relaxed);
        let after = (now + PAUSE).as_nanos();
        let allowed = now.as_nanos() >= next
            && self
                .next_event
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !allowed {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }

    /// Returns the long holds of a route so far, by state.
    pub(crate) fn read(&self, route: usize) -> [(State, DurationCounts); 3] {
        let counts = self.counts.get(route).and_then(OnceLock::get);
        let read =
            |index: usize| counts.map_or_else(DurationCounts::default, |all| all[index].read());
        [0, 1, 2].map(|index| (STATES[index], read(index)))
    }
}

/// Time of a hold in each of [`STATES`].
fn in_states(held: &Held) -> [Nanos; 3] {
    [held.running, held.runnable, held.blocked]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_holds() -> LongHolds {
        LongHolds::new("shop", Arc::new(Routes::new(["/".to_owned()])))
    }

    #[test]
    fn a_hold_counts_in_each_state_in_which_it_was_long() {
        let holds = long_holds();
        holds.warn_from(None);
        let held = Held {
            running: Nanos::from_micros(99),
            runnable: Nanos::from_millis(5),
            blocked: Nanos::from_secs(61),
        };
        holds.add(0, 0, &held);
        let [running, runnable, blocked] = holds.read(0).map(|(_, counts)| counts);
        assert_eq!(running, DurationCounts::default());
        assert_eq!(runnable.cumulative, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(runnable.count, 1);
        assert_eq!((blocked.cumulative, blocked.count), ([0; 11], 1));
        assert_eq!(blocked.sum, Nanos::from_secs(61));
    }

    #[test]
    fn events_beyond_one_per_second_are_counted_instead() {
        let holds = long_holds();
        let at = |ms| Timestamp::from_nanos(1) + Nanos::from_millis(ms);
        assert_eq!(holds.take_event(at(10)), Some(0));
        assert_eq!(holds.take_event(at(500)), None);
        assert_eq!(holds.take_event(at(1_009)), None);
        assert_eq!(holds.take_event(at(1_010)), Some(2));
        assert_eq!(holds.take_event(at(1_011)), None);
    }
}
