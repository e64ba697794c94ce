//! The thread that gave its worker to another one, where tokio does not say which worker a thread is.
//!
//! In `block_in_place` a thread hands its worker to another thread. Nothing is called then, but the other one proves to
//! be a worker at its next mark. If the runtime then has more threads that are taken for workers than it has workers,
//! one of them has given its worker away. It is none that is parked, because only workers park. If several threads
//! work, the one whose last mark is the latest is the most likely: it did something just before, while a thread that a
//! route has blocked for long cannot have called `block_in_place` a moment ago. If that is wrong, the thread is in the
//! middle of work that has begun only just now, and soon proves to be a worker: at the end of the work or when it
//! parks. Then the next one is chosen, but none that has marked anything since the handover.

use super::units::Timestamp;

/// A thread that is taken for a worker of the runtime.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Index of the thread in the registry.
    pub(super) index: usize,
    pub(super) is_parked: bool,
    /// When it proved to be a worker, so that it was registered.
    pub(super) registered: Timestamp,
    /// Start of its present hold, or when it last read its counters.
    pub(super) last_mark: Timestamp,
}

/// Returns the index of the thread that has most likely given its worker away at some time up to `handover`; `None` if
/// there is a worker for each thread, and the calling one.
pub(super) fn giver(
    candidates: impl Iterator<Item = Candidate>,
    workers: usize,
    handover: Timestamp,
) -> Option<usize> {
    let candidates: Vec<_> = candidates.collect();
    if candidates.len() < workers {
        return None;
    }
    let likelihood = |thread: &Candidate| {
        let has_proved = thread.registered.max(thread.last_mark) >= handover;
        (!thread.is_parked, !has_proved, thread.last_mark)
    };
    let giver = candidates.into_iter().max_by_key(likelihood)?;
    Some(giver.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    /// Threads 0, 1 and so on: parked or not, when they registered, and their last mark.
    fn threads<const N: usize>(threads: [(bool, u64, u64); N]) -> impl Iterator<Item = Candidate> {
        let numbered = threads.into_iter().enumerate();
        numbered.map(|(index, (is_parked, registered, last_mark))| Candidate {
            index,
            is_parked,
            registered: at(registered),
            last_mark: at(last_mark),
        })
    }

    #[test]
    fn nobody_gave_a_worker_away_while_workers_are_left() {
        assert_eq!(giver(threads([]), 1, at(10)), None);
        assert_eq!(giver(threads([(false, 1, 1)]), 2, at(10)), None);
    }

    #[test]
    fn the_only_thread_that_works_has_given_it_away() {
        let threads = threads([(true, 1, 9), (false, 2, 3), (true, 3, 8)]);
        assert_eq!(giver(threads, 3, at(10)), Some(1));
    }

    #[test]
    fn a_thread_that_was_blocked_before_has_not() {
        let blocked = (false, 1, 2);
        let threads = threads([blocked, (false, 1, 9), blocked]);
        assert_eq!(giver(threads, 3, at(10)), Some(1));
    }

    #[test]
    fn a_thread_that_has_proved_to_be_a_worker_since_then_has_not() {
        let threads = threads([(false, 10, 8), (false, 1, 2), (false, 1, 13)]);
        assert_eq!(giver(threads, 3, at(10)), Some(1));
    }

    #[test]
    fn as_many_threads_count_as_there_are_workers_in_any_case() {
        let parked = threads([(true, 11, 12), (true, 1, 2)]);
        assert_eq!(giver(parked, 2, at(10)), Some(1));
    }
}
