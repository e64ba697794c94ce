//! Values of a thread's counters.

use super::super::units::{Nanos, Timestamp};
use super::super::words::words;

/// Counters of one thread at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Counters {
    /// The moment.
    pub(in super::super) wall: Timestamp,
    /// CPU time of the thread.
    pub(in super::super) cpu: Nanos,
    /// Run-queue delay: time during which the thread was runnable and not running. The kernel adds
    /// a wait to it when the wait ends, so it arrives late.
    pub(in super::super) delay: Nanos,
    /// Number of voluntary context switches.
    pub(in super::super) switches: u64,
}

words!(Counters {
    wall: Timestamp,
    cpu: Nanos,
    delay: Nanos,
    switches: u64,
});

/// State of a thread as the kernel reports it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Status {
    /// Number of voluntary context switches.
    pub(in super::super) switches: u64,
    /// True if it sleeps.
    pub(in super::super) activity: Activity,
}

/// The two kinds of state that the kernel tells apart at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Activity {
    /// Running, or in the run queue: the kernel's `R`, which means both.
    Active,
    /// Sleeping or stopped.
    Asleep,
}
