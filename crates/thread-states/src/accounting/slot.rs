//! What one thread shows to the exporter: written by the thread alone, read consistently by any.

use std::thread;
use std::time::Duration;

use super::atomic::{AtomicU64, Ordering, fence};

/// Words that one thread writes and others read as a whole: a sequence lock.
///
/// The sequence is odd while a write is under way; a reader that sees it odd, or changed, reads
/// again. Every word is an atomic, so a torn read is a retry and never undefined (Hans-J. Boehm,
/// "Can seqlocks get along with programming language memory models?", MSPC 2012). `tests/slot.rs`
/// has a model checker try every order in which the two can meet.
#[derive(Debug)]
pub(super) struct Slot {
    sequence: AtomicU64,
    words: Box<[AtomicU64]>,
}

impl Slot {
    pub(super) fn new(words: usize) -> Self {
        Self {
            sequence: AtomicU64::new(0),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Writes some words as one change. Only the owner may call it, and not within itself.
    pub(super) fn write(&self, change: impl FnOnce(&Words<'_>)) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        change(&Words(&self.words));
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// All words as one write left them, with the number of that write. `None` when the owner
    /// has stood in the middle of a write for 20 ms (stopped by a debugger, say).
    pub(super) fn read(&self) -> Option<(u64, Vec<u64>)> {
        self.read_first(self.words.len())
    }

    /// The same of the first words only, `count` of them.
    pub(super) fn read_first(&self, count: usize) -> Option<(u64, Vec<u64>)> {
        for attempt in 0..1_000 {
            if let Some(read) = self.try_read(count) {
                return Some(read);
            }
            if attempt > 800 {
                thread::sleep(Duration::from_micros(100));
            }
        }
        None
    }

    /// The same in one attempt; `None` if it met with a write.
    pub(super) fn try_read(&self, count: usize) -> Option<(u64, Vec<u64>)> {
        let before = self.sequence.load(Ordering::Acquire);
        let words = self
            .words
            .iter()
            .take(count)
            .map(|word| word.load(Ordering::Relaxed))
            .collect();
        fence(Ordering::Acquire);
        (before.is_multiple_of(2) && self.is_still(before)).then_some((before, words))
    }

    /// Whether nothing was written since the write of that number.
    pub(super) fn is_still(&self, sequence: u64) -> bool {
        self.sequence.load(Ordering::Relaxed) == sequence
    }
}

/// The words of a slot while its owner changes them.
pub(super) struct Words<'a>(&'a [AtomicU64]);

impl Words<'_> {
    /// Sets the words from `first` on.
    pub(super) fn set(&self, first: usize, values: &[u64]) {
        for (word, value) in self.0[first..].iter().zip(values) {
            word.store(*value, Ordering::Relaxed);
        }
    }
}
