//! Places of a server's threads in its series. A place keeps its counters when another thread takes it.

use std::collections::BTreeMap;

use super::proc_files::{Pid, Tid};
use super::settle::Settled;
use super::thread::ObservedThread;

/// Threads that have series of their own; the others of a server share those of [`OTHER`].
const MOST_SLOTS: usize = 64;
/// Place of the threads above [`MOST_SLOTS`].
pub(super) const OTHER: usize = usize::MAX;

/// Counters of one thread index; they go on when another thread takes the index.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The thread that has it.
    pub thread: Option<(Pid, Tid)>,
    /// The last thread that had it.
    pub pid: Pid,
    pub tid: Tid,
    pub comm: String,
    /// Time of the threads that have ended.
    pub ended: Settled,
}

/// Gives a thread the lowest index that no other has, and returns it.
pub(super) fn take_slot(slots: &mut BTreeMap<usize, Slot>, thread: &ObservedThread) -> usize {
    let is_free = |index: &usize| slots.get(index).is_none_or(|slot| slot.thread.is_none());
    let index = (0..MOST_SLOTS).find(is_free).unwrap_or(OTHER);
    let slot = slots.entry(index).or_default();
    let key = (thread.pid, thread.tid);
    (slot.thread, slot.pid, slot.tid) = (Some(key), thread.pid, thread.tid);
    slot.comm.clone_from(&thread.comm);
    index
}
