//! The thread states of the last minute, kept for viewers that connect later.

use std::collections::{BTreeMap, VecDeque};

use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};
use thread_states::{Nanos, State, Times, Timestamp};

use super::milliseconds::Milliseconds;
use super::states::ThreadStates;

/// Time that is kept, which is the time that the page shows.
pub(super) const WINDOW: Nanos = Nanos::from_secs(60);

/// Minimum time between two moments: less than between two events, so that viewers that get theirs at different
/// times add no moments.
const MIN_INTERVAL: Nanos = Nanos::from_millis(80);

/// Maximum number of moments that are kept for one thread: those of the window, if all of it is mixed.
const MAX_OF_THREAD: usize = 750;

/// Maximum number of moments that are kept for all threads of a server: about 1 MB.
const MAX_OF_SERVER: usize = 16 * 1024;

/// Minimum share of a stretch of time spent in one state, from which it counts as spent in that state only. The
/// page uses the same share.
const PURE: f64 = 0.98;

/// The states of the threads of one server over the last minute.
#[derive(Debug, Default)]
pub(super) struct StateHistory {
    /// Start of the accounting to which the times belong.
    began: Option<Timestamp>,
    /// Time of the latest moment.
    latest: Option<Timestamp>,
    /// By the label of the thread; the oldest moment first.
    threads: BTreeMap<String, VecDeque<Moment>>,
}

/// A thread at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    at: Timestamp,
    /// Time in each state since the thread started.
    times: Times,
}

impl StateHistory {
    /// Returns true if [`StateHistory::add`] would add a moment at `now`: the last one is not too recent.
    pub(super) fn is_due(&self, began: Timestamp, now: Timestamp) -> bool {
        let is_recent = |latest| now.duration_since(latest) < MIN_INTERVAL;
        self.began != Some(began) || self.threads.is_empty() || !self.latest.is_some_and(is_recent)
    }

    /// Adds the threads at `now` of a server whose accounting began at `began`, and forgets what is too old.
    pub(super) fn add(&mut self, began: Timestamp, now: Timestamp, threads: &[ThreadStates]) {
        if !self.is_due(began, now) {
            return;
        }
        if self.began != Some(began) {
            self.began = Some(began);
            self.threads.clear();
        }
        self.latest = Some(now);
        let max = (MAX_OF_SERVER / threads.len().max(1)).clamp(2, MAX_OF_THREAD);
        for thread in threads {
            let moment = Moment {
                at: now,
                times: thread.seconds,
            };
            match self.threads.get_mut(&thread.thread) {
                Some(moments) => push(moments, moment, max),
                None => {
                    let moments = VecDeque::from([moment]);
                    self.threads.insert(thread.thread.clone(), moments);
                }
            }
        }
        let is_recent = |moment: &Moment| now.duration_since(moment.at) < WINDOW;
        self.threads
            .retain(|_, moments| moments.back().is_some_and(is_recent));
        for moments in self.threads.values_mut() {
            // The newest moment outside of the window is where the states within it begin.
            while moments.get(1).is_some_and(|next| !is_recent(next)) {
                moments.pop_front();
            }
        }
    }

    /// Returns the moments of each thread, by its label, the oldest first.
    pub(super) fn threads(&self) -> BTreeMap<String, Vec<Moment>> {
        let threads = self.threads.iter();
        threads
            .map(|(label, moments)| (label.clone(), moments.iter().copied().collect()))
            .collect()
    }
}

/// Adds a moment. Leaves out the one before it if the thread was in the same state before and after it.
fn push(moments: &mut VecDeque<Moment>, moment: Moment, max: usize) {
    if let [.., first, middle] = *moments.make_contiguous()
        && let Some(state) = only_state(&first, &middle)
        && only_state(&middle, &moment) == Some(state)
    {
        moments.pop_back();
    }
    moments.push_back(moment);
    while moments.len() > max {
        moments.pop_front();
    }
}

/// Returns the state in which the thread was between two moments, if there is only one.
fn only_state(from: &Moment, to: &Moment) -> Option<State> {
    let time = |state| to.times[state].saturating_sub(from.times[state]);
    let total = State::ALL.into_iter().map(time).sum::<Nanos>();
    let most = State::ALL.into_iter().max_by_key(|state| time(*state))?;
    let is_pure = time(most).as_secs_f64() >= PURE * total.as_secs_f64();
    (total > Nanos::default() && is_pure).then_some(most)
}

impl Serialize for Moment {
    /// Writes `[at, running, runnable, blocked, awaiting, idle]`: milliseconds, then seconds to the microsecond.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(1 + State::ALL.len())?;
        tuple.serialize_element(&Milliseconds::from(self.at))?;
        for state in State::ALL {
            tuple.serialize_element(&(self.times[state].as_micros() as f64 / 1e6))?;
        }
        tuple.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds `threads` threads with these times, both in milliseconds, of a server whose accounting began at 0.
    fn add(history: &mut StateHistory, at: u64, threads: usize, times: &[(State, u64)]) {
        add_since(history, 0, at, threads, times);
    }

    fn add_since(
        history: &mut StateHistory,
        began: u64,
        at: u64,
        threads: usize,
        times: &[(State, u64)],
    ) {
        let mut seconds = Times::default();
        for (state, time) in times {
            seconds[*state] = Nanos::from_millis(*time);
        }
        let thread = |index: usize| ThreadStates {
            thread: index.to_string(),
            state: None,
            state_seconds: Some(1.0),
            on: None,
            seconds,
        };
        let threads: Vec<_> = (0..threads).map(thread).collect();
        history.add(time(began), time(at), &threads);
    }

    fn time(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    fn moments(history: &StateHistory) -> Vec<Moment> {
        history.threads()["0"].clone()
    }

    /// A server that is sampled as it starts has no threads yet.
    #[test]
    fn the_first_threads_are_kept_however_early_they_come() {
        let mut history = StateHistory::default();
        add(&mut history, 0, 0, &[]);
        add(&mut history, 10, 1, &[(State::Idle, 10)]);
        assert_eq!(moments(&history).len(), 1);
    }

    #[test]
    fn a_stretch_in_one_state_is_kept_as_its_start_and_its_end() {
        let mut history = StateHistory::default();
        for at in (0..=2000).step_by(100) {
            add(&mut history, at, 1, &[(State::Idle, at)]);
        }
        for at in (2100..=5000).step_by(100) {
            let times = [(State::Idle, 2000), (State::Blocked, at - 2000)];
            add(&mut history, at, 1, &times);
        }
        let moments = moments(&history);
        let at: Vec<_> = moments.iter().map(|moment| moment.at).collect();
        assert_eq!(at, [time(0), time(2000), time(5000)]);
        assert_eq!(moments[2].times[State::Blocked], Nanos::from_secs(3));
        let json = serde_json::to_value(moments[2]).unwrap();
        assert_eq!(json, serde_json::json!([5000.0, 0.0, 0.0, 3.0, 0.0, 2.0]));
    }

    #[test]
    fn a_mixed_stretch_keeps_every_moment() {
        let mut history = StateHistory::default();
        for at in (0..=1000).step_by(100) {
            let times = [(State::Running, at / 2), (State::Idle, at / 2)];
            add(&mut history, at, 1, &times);
        }
        assert_eq!(moments(&history).len(), 11);
    }

    #[test]
    fn samples_in_quick_succession_are_one_moment() {
        let mut history = StateHistory::default();
        for at in (0..=1000).step_by(50) {
            let times = [(State::Running, at / 2), (State::Idle, at / 2)];
            add(&mut history, at, 1, &times);
        }
        assert_eq!(moments(&history).len(), 11);
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut history = StateHistory::default();
        for at in (0..=100_000).step_by(100) {
            let times = [(State::Running, at / 2), (State::Idle, at / 2)];
            add(&mut history, at, 1, &times);
        }
        let first = moments(&history)[0].at;
        assert_eq!(first, time(40_000), "where the window begins");

        add(&mut history, 200_000, 0, &[]);
        assert!(history.threads().is_empty(), "no thread is left");
    }

    #[test]
    fn another_start_of_the_accounting_begins_a_new_history() {
        let mut history = StateHistory::default();
        add(&mut history, 100, 1, &[(State::Idle, 100)]);
        add_since(&mut history, 50, 200, 1, &[(State::Idle, 10)]);
        let at: Vec<_> = moments(&history).iter().map(|moment| moment.at).collect();
        assert_eq!(at, [time(200)]);
    }

    #[test]
    fn its_size_does_not_grow_with_the_number_of_threads() {
        let mut history = StateHistory::default();
        for at in (0..10_000).step_by(100) {
            let times = [(State::Running, at / 2), (State::Idle, at / 2)];
            add(&mut history, at, 1000, &times);
        }
        let kept: usize = history.threads.values().map(VecDeque::len).sum();
        assert!(
            kept > MAX_OF_SERVER / 2 && kept <= MAX_OF_SERVER,
            "{kept} moments"
        );
        let bytes = kept * size_of::<Moment>();
        assert!(bytes < 1_000_000, "{bytes} bytes");
    }
}
