//! Requests in flight on all threads of a server, to be read without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::in_flight::InFlight;

/// Counts of the requests in flight of a server's threads.
#[derive(Debug)]
pub(super) struct AllInFlight {
    /// Replaced when it changes, so that readers can keep it.
    counts: RwLock<Arc<[Arc<InFlight>]>>,
    /// Number of replacements, plus 1.
    version: AtomicU64,
}

/// The counts as a reader has seen them.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownCounts {
    counts: Arc<[Arc<InFlight>]>,
    /// 0 if it has not seen any.
    version: u64,
}

impl AllInFlight {
    pub(super) fn new(first: &Arc<InFlight>) -> Self {
        Self {
            counts: RwLock::new([Arc::clone(first)].into()),
            version: AtomicU64::new(1),
        }
    }

    /// Adds the count of a thread, unless it is there already.
    pub(super) fn add(&self, in_flight: Arc<InFlight>) {
        let counts = self.counts.write();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        if counts.iter().any(|other| Arc::ptr_eq(other, &in_flight)) {
            return;
        }
        // Those without another owner belong to threads that have ended.
        let owned = counts.iter().filter(|other| Arc::strong_count(other) > 1);
        *counts = owned.cloned().chain([in_flight]).collect();
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Returns the present counts.
    pub(super) fn counts(&self) -> Arc<[Arc<InFlight>]> {
        let counts = self.counts.read();
        Arc::clone(&counts.unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the sum of the counts. Takes a lock only if they are not those that are `known`.
    pub(super) fn sum(&self, known: &mut KnownCounts) -> u64 {
        // Before the counts: if they are replaced in between, the next call reads them again.
        let version = self.version.load(Ordering::Acquire);
        if known.version != version {
            known.counts = self.counts();
            known.version = version;
        }
        known.counts.iter().map(|in_flight| in_flight.count()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_counts_that_are_added_later() {
        let [first, second] = [InFlight::new(), InFlight::new()];
        let all = AllInFlight::new(&first);
        let mut known = KnownCounts::default();
        let _request = first.enter();
        assert_eq!(all.sum(&mut known), 1);
        all.add(Arc::clone(&second));
        let _other = second.enter();
        assert_eq!(all.sum(&mut known), 2);
        assert_eq!(all.sum(&mut KnownCounts::default()), 2);
    }

    #[test]
    fn counts_are_dropped_with_their_threads() {
        let first = InFlight::new();
        let all = AllInFlight::new(&first);
        let mut known = KnownCounts::default();
        for _ in 0..100 {
            all.add(InFlight::new());
            // A reader keeps those that it has seen until it looks again.
            assert_eq!(all.sum(&mut known), 0);
        }
        let counts = all.counts().len();
        assert!((2..=3).contains(&counts), "{counts}");
    }

    #[test]
    fn a_count_is_added_once() {
        let first = InFlight::new();
        let all = AllInFlight::new(&first);
        all.add(Arc::clone(&first));
        assert_eq!(all.counts().len(), 1);
    }
}
