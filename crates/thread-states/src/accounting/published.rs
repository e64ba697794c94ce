//! Counters that never decrease.

use super::hold::Held;
use super::reading::RouteReading;
use super::route_times::RouteTimes;
use super::state::{State, Times};
use super::units::{Nanos, Timestamp};

/// Counters of one thread as they were last published.
///
/// Between two scrapes a state can turn out smaller than it was published: a thread that waits
/// in the run queue looks blocked until its delay arrives, all at once, when it runs. But a counter
/// that decreases is a restart to Prometheus. So the over-published state is frozen, and the
/// difference is deducted from the next increments of the others. The increments still sum to the
/// wall time.
#[derive(Debug, Default)]
pub(super) struct Published(Times);

/// Order in which states give back: first those that late delay tells apart from others. `Running`
/// comes from a clock that is exact at each read, so it is last.
const GIVES_BACK: [State; 5] = [
    State::Runnable,
    State::Blocked,
    State::Awaiting,
    State::Idle,
    State::Running,
];

impl Published {
    /// Times that were last published.
    pub(super) fn times(&self) -> &Times {
        &self.0
    }

    /// Moves towards `measured`, whose total is never below that of an earlier call, and returns
    /// what to publish: at least what was published before, state by state, and in total exactly
    /// what was measured.
    pub(super) fn advance(&mut self, measured: Times) -> Times {
        let mut gains = Times::of_each(|state| measured[state].saturating_sub(self.0[state]));
        let mut owed = (self.0.total() + gains.total()).saturating_sub(measured.total());
        for state in GIVES_BACK {
            let given = gains[state].min(owed);
            gains[state] -= given;
            owed -= given;
        }
        self.0 += gains;
        self.0
    }
}

/// Counters of one route as they were last published.
#[derive(Debug, Default)]
pub(super) struct PublishedRoute {
    held: Published,
    awaited: Nanos,
    ready: Nanos,
}

impl PublishedRoute {
    /// Moves towards what was measured up to `now`, and returns what to publish.
    pub(super) fn advance(&mut self, measured: &RouteTimes, now: Timestamp) -> RouteReading {
        let nanos = |time| Nanos::from_nanos(u64::try_from(time).unwrap_or(0));
        // An await whose wake-up turns out to have been earlier ends before what was published.
        self.awaited = self.awaited.max(nanos(measured.awaits.until(now)));
        self.ready = self.ready.max(nanos(measured.readies.until(now)));
        let times = self.held.advance(measured.held.into());
        RouteReading {
            held: Held::from(times),
            awaited: self.awaited,
            ready: self.ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delay_that_arrives_late_is_deducted_from_the_next_increments() {
        let mut published = Published::default();
        let blocked = published.advance([0, 0, 300, 0, 0].into());
        assert_eq!(blocked, [0, 0, 300, 0, 0].into());
        // The 300 were delay; 100 more passed, running.
        let late = published.advance([100, 300, 0, 0, 0].into());
        assert_eq!(late, [100, 0, 300, 0, 0].into());
        // Real blocking catches up with what was over-published.
        let caught_up = published.advance([100, 300, 300, 0, 0].into());
        assert_eq!(caught_up, [100, 300, 300, 0, 0].into());
    }

    #[test]
    fn the_counters_of_a_route_never_exceed_its_holds() {
        let held = |runnable, blocked| {
            let held = Held {
                running: Nanos::ZERO,
                runnable: Nanos::from_nanos(runnable),
                blocked: Nanos::from_nanos(blocked),
            };
            RouteTimes {
                held,
                ..RouteTimes::default()
            }
        };
        let mut published = PublishedRoute::default();
        let mut advance = |times| {
            let reading = published.advance(&times, Timestamp::default());
            [reading.held.runnable, reading.held.blocked].map(Nanos::as_nanos)
        };
        assert_eq!(advance(held(0, 300)), [0, 300]);
        // The 300 were delay.
        assert_eq!(advance(held(310, 0)), [10, 300]);
    }

    proptest! {
        #[test]
        fn nothing_decreases_and_the_sum_is_exact(
            steps in proptest::collection::vec(proptest::array::uniform5(0..1_000_000_000_000u64), 1..50),
        ) {
            let (mut published, mut wall, mut before) = (Published::default(), 0, Times::default());
            for mut times in steps {
                // Any split at all, of a wall time that only grows.
                let sum: u64 = times.iter().sum();
                times[0] += wall;
                wall += sum;
                let after = published.advance(times.into());
                prop_assert_eq!(after.total(), Nanos::from_nanos(wall));
                for state in State::ALL {
                    prop_assert!(after[state] >= before[state]);
                }
                before = after;
            }
        }
    }
}
