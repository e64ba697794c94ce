//! Words that one thread writes and any other can read as a whole, without a lock.

use std::thread;
use std::time::Duration;

use super::atomic::{AtomicU64, Ordering, fence};

/// Words that one thread writes and others read as a whole: a sequence lock.
///
/// A mutex would let a scrape delay a server thread, and a scrape must see a thread that is blocked
/// inside its marks. With a sequence lock the writer never waits: it makes the sequence odd, writes,
/// and makes it even again. A reader that finds the sequence odd, or changed after it has read the
/// words, tries again (as in the kernel, Documentation/locking/seqlock.rst).
///
/// Every word is a relaxed atomic, so that a read that overlaps a write is discarded but never
/// undefined behaviour. The two fences are those of Hans-J. Boehm, "Can seqlocks get along with
/// programming language memory models?" (MSPC 2012): the release fence keeps the words from being
/// visible before the odd sequence, the acquire fence keeps the second load of the sequence after
/// the loads of the words. `tests/slot.rs` has a model checker try every interleaving.
#[derive(Debug)]
pub(super) struct Slot {
    sequence: AtomicU64,
    words: Box<[AtomicU64]>,
}

impl Slot {
    /// Creates a slot of so many words, all 0.
    pub(super) fn new(words: usize) -> Self {
        Self {
            sequence: AtomicU64::new(0),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Writes some words as one change. Only the owner may call it, and not recursively.
    pub(super) fn write(&self, change: impl FnOnce(&SlotWriter<'_>)) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        change(&SlotWriter(&self.words));
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// Reads the first `count` words as one write left them, in place of what `words` held. Returns
    /// the sequence number of that write; `None` when the owner has been in the middle of a write
    /// for 20 ms (stopped by a debugger, say).
    pub(super) fn read(&self, count: usize, words: &mut Vec<u64>) -> Option<u64> {
        // A write takes nanoseconds, so spinning nearly always succeeds; but the writer may have
        // lost its CPU in the middle, perhaps to this very thread, so in the end sleep.
        const ATTEMPTS: u32 = 1_000;
        const SPINNING: u32 = 800;
        for attempt in 0..ATTEMPTS {
            if let Some(sequence) = self.try_read(count, words) {
                return Some(sequence);
            }
            if attempt > SPINNING {
                thread::sleep(Duration::from_micros(100));
            }
        }
        None
    }

    /// [`Self::read`] in one attempt; `None` if it overlapped a write.
    pub(super) fn try_read(&self, count: usize, words: &mut Vec<u64>) -> Option<u64> {
        words.clear();
        let before = self.sequence.load(Ordering::Acquire);
        let read = self.words.iter().take(count);
        words.extend(read.map(|word| word.load(Ordering::Relaxed)));
        fence(Ordering::Acquire);
        (before % 2 == 0 && self.is_unchanged(before)).then_some(before)
    }

    /// Returns whether the write with this sequence number is the latest.
    pub(super) fn is_unchanged(&self, sequence: u64) -> bool {
        self.sequence.load(Ordering::Relaxed) == sequence
    }

    /// Number of words.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }
}

/// Access to the words of a slot during a write.
pub(super) struct SlotWriter<'a>(&'a [AtomicU64]);

impl SlotWriter<'_> {
    /// Sets the words from index `first` on, all of which the slot must have. Of a constant number, so that this is one
    /// store for each.
    #[inline]
    pub(super) fn set<const N: usize>(&self, first: usize, values: &[u64; N]) {
        let words = self.0[first..].first_chunk::<N>();
        debug_assert!(words.is_some(), "words that the slot does not have");
        for (word, value) in words.into_iter().flatten().zip(values) {
            word.store(*value, Ordering::Relaxed);
        }
    }
}
