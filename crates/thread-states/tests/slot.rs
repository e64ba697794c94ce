//! Every interleaving of a thread's writes to its slot with a reader's reads, and everything that
//! the memory model lets the reader see then, tried by a model checker (loom).

#![allow(clippy::unwrap_used)]

#[allow(
    dead_code,
    reason = "of the slot, only a write and one attempt to read are modelled"
)]
#[path = "../src/accounting/slot.rs"]
mod slot;

/// The atomics of the slot.
mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

use loom::sync::Arc;
use loom::thread;

use slot::Slot;

/// One attempt to read a whole slot: the sequence number, and the words.
fn try_read(slot: &Slot) -> Option<(u64, Vec<u64>)> {
    let mut words = Vec::new();
    let sequence = slot.try_read(usize::MAX, &mut words)?;
    Some((sequence, words))
}

/// Fills a slot of two words with 1, then 2 and so on, while `read` runs.
fn while_written(writes: u64, read: impl Fn(&Slot) + Sync + Send + 'static) {
    loom::model(move || {
        let slot = Arc::new(Slot::new(2));
        let owner = thread::spawn({
            let slot = Arc::clone(&slot);
            move || {
                for value in 1..=writes {
                    slot.write(|words| words.set(0, &[value; 2]));
                }
            }
        });
        read(&slot);
        owner.join().unwrap();
        let (sequence, words) = try_read(&slot).unwrap();
        assert_eq!((sequence, words), (2 * writes, vec![writes; 2]));
    });
}

#[test]
fn a_reader_sees_the_words_of_one_write() {
    while_written(2, |slot| {
        if let Some((sequence, words)) = try_read(slot) {
            assert_eq!(words, [sequence / 2; 2]);
        }
    });
}

#[test]
fn a_later_read_does_not_see_an_earlier_write() {
    while_written(1, |slot| {
        if let Some((earlier, _)) = try_read(slot)
            && let Some((later, words)) = try_read(slot)
        {
            assert!(later >= earlier, "{later} after {earlier}");
            assert_eq!(words, [later / 2; 2]);
        }
    });
}

#[test]
fn a_write_of_some_words_does_not_change_the_others() {
    loom::model(|| {
        let slot = Arc::new(Slot::new(2));
        let owner = thread::spawn({
            let slot = Arc::clone(&slot);
            move || {
                slot.write(|words| words.set(0, &[1, 2]));
                slot.write(|words| words.set(1, &[3]));
            }
        });
        if let Some((sequence, words)) = try_read(&slot) {
            assert_eq!(words, [[0, 0], [1, 2], [1, 3]][sequence as usize / 2]);
        }
        owner.join().unwrap();
    });
}
