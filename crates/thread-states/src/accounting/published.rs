//! What has been published never decreases.

use super::registry::RouteReading;
use super::route::{Held, RouteTimes};
use super::state::{State, Times};

/// The counters of one thread as they were last published.
///
/// Between two scrapes a state can turn out smaller than it was published: a thread that waits
/// in the run queue looks blocked until its delay arrives, all at once, when it runs. A counter
/// must not decrease, so the over-published state is held and the others, which have grown by as
/// much more, give it back from their increments. The increments still sum to the wall time.
#[derive(Debug, Default)]
pub(super) struct Published(Times);

/// Who gives back first: the states that are told apart from others by what arrives late.
/// `Running` is read from a clock that is always right, so it comes last.
const GIVES_BACK: [State; 5] = [
    State::Runnable,
    State::Blocked,
    State::Awaiting,
    State::Idle,
    State::Running,
];

impl Published {
    /// Moves towards `measured`, whose total is never below that of an earlier call, and returns
    /// what to publish: at least what was published before, state by state, and in total exactly
    /// what was measured.
    pub(super) fn advance(&mut self, measured: Times) -> Times {
        let mut gains = State::ALL.map(|state| measured[state].saturating_sub(self.0[state]));
        let gained: u64 = gains.iter().sum();
        let mut owed = (self.0.total() + gained).saturating_sub(measured.total());
        for state in GIVES_BACK {
            let given = gains[state as usize].min(owed);
            gains[state as usize] -= given;
            owed -= given;
        }
        self.0 += Times::from_words(gains);
        self.0
    }
}

/// The counters of one route as they were last published.
#[derive(Debug, Default)]
pub(super) struct PublishedRoute {
    held: Published,
    awaited: u64,
}

impl PublishedRoute {
    /// Moves towards what was measured up to `now`, and returns what to publish.
    pub(super) fn advance(&mut self, measured: &RouteTimes, now: u64) -> RouteReading {
        let awaited = u64::try_from(measured.awaited(now)).unwrap_or(0);
        self.awaited = self.awaited.max(awaited);
        let times = self.held.advance(measured.held.into());
        RouteReading {
            held: Held {
                running: times[State::Running],
                runnable: times[State::Runnable],
                blocked: times[State::Blocked],
            },
            awaited: self.awaited,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delay_that_arrives_late_is_taken_from_the_next_increments() {
        let mut published = Published::default();
        assert_eq!(
            published
                .advance(Times::from_words([0, 0, 300, 0, 0]))
                .to_words(),
            [0, 0, 300, 0, 0]
        );
        // The 300 were delay; 100 more passed, running.
        let late = published.advance(Times::from_words([100, 300, 0, 0, 0]));
        assert_eq!(late.to_words(), [100, 0, 300, 0, 0]);
        // Real blocking catches up with what was over-published.
        let caught_up = published.advance(Times::from_words([100, 300, 300, 0, 0]));
        assert_eq!(caught_up.to_words(), [100, 300, 300, 0, 0]);
    }

    #[test]
    fn a_route_never_comes_to_more_than_it_held_the_thread() {
        let held = |runnable, blocked| {
            let mut times = RouteTimes::default();
            times.held = Held {
                running: 0,
                runnable,
                blocked,
            };
            times
        };
        let mut published = PublishedRoute::default();
        assert_eq!(published.advance(&held(0, 300), 0).held.blocked, 300);
        // The 300 were delay.
        let late = published.advance(&held(310, 0), 0).held;
        assert_eq!((late.runnable, late.blocked), (10, 300));
    }

    proptest! {
        #[test]
        fn nothing_decreases_and_the_sum_is_exact(
            steps in proptest::collection::vec(proptest::array::uniform5(0..1_000_000_000_000u64), 1..50),
        ) {
            let (mut published, mut wall, mut before) = (Published::default(), 0, Times::default());
            for mut words in steps {
                // Any split at all, of a wall time that only grows.
                let sum: u64 = words.iter().sum();
                words[0] += wall;
                wall += sum;
                let after = published.advance(Times::from_words(words));
                prop_assert_eq!(after.total(), wall);
                for state in State::ALL {
                    prop_assert!(after[state] >= before[state]);
                }
                before = after;
            }
        }
    }
}
