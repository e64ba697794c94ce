//! A query, and the slots of the database that queries may share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{FairMutex, FairMutexGuard};

/// Maximum number of slots that queries share.
pub const MAX_SLOTS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// A query that only takes time.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseQuery {
    /// Time that it takes in the database.
    pub time: Duration,
    /// Number of such queries that the database runs at the same time, at most [`MAX_SLOTS`]. The others wait within
    /// the database. `None` for no limit.
    pub slots: Option<NonZeroU32>,
}

/// The slots of a server's database. They represent the CPUs, disks or locks for which queries wait within a database.
/// Clones share them.
///
/// A slot is a lock that a query holds while it runs. In PostgreSQL it is an advisory lock. SQLite runs in this process,
/// and uses a mutex of this type. Queries take the slots in turn, and each lock is first come, first served. As all
/// queries of an experiment take the same time, this has the same effect as one queue for all slots: query `i` starts
/// when query `i - slots` ends.
#[derive(Debug, Clone)]
pub(super) struct SlotLocks {
    next: Arc<AtomicU32>,
    locks: Arc<[FairMutex<()>]>,
}

impl Default for SlotLocks {
    fn default() -> Self {
        let locks = (0..MAX_SLOTS.get()).map(|_| FairMutex::new(()));
        Self {
            next: Arc::default(),
            locks: locks.collect(),
        }
    }
}

impl SlotLocks {
    /// Returns the number of the slot for the next query; `None` if its slots are not limited.
    pub(super) fn next(&self, query: &DatabaseQuery) -> Option<u32> {
        let slots = query.slots?.min(MAX_SLOTS);
        Some(self.next.fetch_add(1, Ordering::Relaxed) % slots)
    }

    /// Waits for a slot, at most for `limit`, and takes it. Returns `None` if it did not become free.
    pub(super) fn take(&self, slot: u32, limit: Duration) -> Option<FairMutexGuard<'_, ()>> {
        self.locks[slot as usize].try_lock_for(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(slots: Option<u32>) -> DatabaseQuery {
        DatabaseQuery {
            time: Duration::ZERO,
            slots: slots.and_then(NonZeroU32::new),
        }
    }

    #[test]
    fn queries_take_the_slots_in_turn() {
        let locks = SlotLocks::default();
        let slots = [(); 5].map(|()| locks.clone().next(&query(Some(3))));
        assert_eq!(slots, [0, 1, 2, 0, 1].map(Some));
        assert_eq!(locks.next(&query(None)), None);
        assert!(locks.next(&query(Some(u32::MAX))) < Some(MAX_SLOTS.get()));
    }

    #[test]
    fn a_slot_has_one_query_at_a_time_and_the_wait_for_it_has_a_limit() {
        let locks = SlotLocks::default();
        let soon = Duration::from_millis(10);
        let first = locks.take(0, soon);
        assert!(first.is_some() && locks.take(0, soon).is_none());
        assert!(locks.take(1, soon).is_some());
        drop(first);
        assert!(locks.take(0, soon).is_some());
    }
}
