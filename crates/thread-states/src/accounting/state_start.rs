//! Start of a thread's present state, from readings.

use super::state::{State, Times};
use super::units::{Nanos, Timestamp};

/// Present state of a thread, and when it began.
///
/// Nothing is recorded when a thread changes its state: that would cost the thread something. But the times of
/// the states say it. If between two readings only the time of the present state grew, the state goes on.
/// Else it began after the earlier reading, and has lasted for no longer than its own time has grown since.
/// That is exact if the thread entered the state once between the two; if it did so several times, the state
/// seems older, by less than the time between the readings.
#[derive(Debug, Default)]
pub(super) struct StateStart {
    state: Option<State>,
    since: Timestamp,
    times: Times,
}

impl StateStart {
    /// Notes what a reading at `now` found, and returns when the present state began. `at_most` bounds for how
    /// long it can have lasted.
    pub(super) fn advance(
        &mut self,
        state: Option<State>,
        times: &Times,
        now: Timestamp,
        at_most: Nanos,
    ) -> Timestamp {
        let before = std::mem::replace(&mut self.times, *times);
        let was = std::mem::replace(&mut self.state, state);
        let Some(state) = state else {
            self.since = now;
            return now;
        };
        let grown = |is_own: bool| -> Nanos {
            let states = State::ALL
                .into_iter()
                .filter(|other| own(state, *other) == is_own);
            states
                .map(|state| times[state].saturating_sub(before[state]))
                .sum()
        };
        if was != Some(state) || grown(false) > Nanos::ZERO {
            self.since = now - grown(true).min(at_most);
        }
        self.since
    }
}

/// Returns whether time in `other` is part of a stay in `state`. At one moment, the kernel does not tell running
/// from waiting for a CPU, so both are one stay.
fn own(state: State, other: State) -> bool {
    let is_active = |state| matches!(state, State::Running | State::Runnable);
    state == other || (is_active(state) && is_active(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    /// Ages in milliseconds at readings: the moment, the state, the time in each state, the bound.
    fn ages(readings: &[(u64, Option<State>, [u64; 5], u64)]) -> Vec<u64> {
        let mut start = StateStart::default();
        let age = |(now, state, times, at_most): &(u64, Option<State>, [u64; 5], u64)| {
            let times = Times::from(times.map(|time| time * 1_000_000));
            let at_most = Nanos::from_millis(*at_most);
            let since = start.advance(*state, &times, ms(*now), at_most);
            ms(*now).duration_since(since).as_micros() / 1_000
        };
        readings.iter().map(age).collect()
    }

    const BLOCKED: Option<State> = Some(State::Blocked);
    const RUNNING: Option<State> = Some(State::Running);

    #[test]
    fn a_state_ages_while_only_its_own_time_grows() {
        let readings = [
            (100, RUNNING, [100, 0, 0, 0, 0], u64::MAX / 2_000_000),
            (200, RUNNING, [150, 50, 0, 0, 0], u64::MAX / 2_000_000),
            (300, BLOCKED, [170, 50, 80, 0, 0], 80),
            (1_300, BLOCKED, [170, 50, 1_080, 0, 0], 1_080),
        ];
        assert_eq!(ages(&readings), [100, 200, 80, 1_080]);
    }

    #[test]
    fn a_state_that_was_left_in_between_began_after_the_earlier_reading() {
        let readings = [
            (100, BLOCKED, [0, 0, 100, 0, 0], 100),
            // It ran for 30 ms, and has blocked for 70 ms since then, the last time for at most 50.
            (200, BLOCKED, [30, 0, 170, 0, 0], 50),
            (300, None, [30, 0, 270, 0, 0], 150),
            (400, Some(State::Idle), [30, 0, 270, 0, 100], 100),
        ];
        assert_eq!(ages(&readings), [100, 50, 0, 100]);
    }
}
