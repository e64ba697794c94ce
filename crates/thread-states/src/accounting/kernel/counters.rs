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
    /// Number of involuntary ones: another thread got its CPU.
    pub(in super::super) preemptions: u64,
}

words!(Counters {
    wall: Timestamp,
    cpu: Nanos,
    delay: Nanos,
    switches: u64,
    preemptions: u64,
});

impl Counters {
    /// Counters at the start of a thread: all 0, but before its first switch it may have waited for a CPU, so that no
    /// number of switches proves that its delay is the same.
    pub(in super::super) fn at_start(wall: Timestamp) -> Self {
        Self {
            wall,
            preemptions: u64::MAX,
            ..Self::default()
        }
    }
}

/// A thread as the kernel, `top -H` and debuggers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OsThread {
    /// Thread ID.
    pub tid: i32,
    /// At most 15 bytes (`TASK_COMM_LEN`), and zeroes.
    name: [u8; 16],
}

impl OsThread {
    // Unused on systems that have no such threads.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pub(super) fn new(tid: i32, name: &[u8]) -> Self {
        let mut kept = [0; 16];
        let kept_bytes = kept.iter_mut().zip(name);
        kept_bytes.for_each(|(kept, byte)| *kept = *byte);
        Self { tid, name: kept }
    }

    /// Name, as it was when the thread was registered; empty if it is not known, or no UTF-8.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = std::str::from_utf8(&self.name).unwrap_or_default();
        name.trim_end_matches('\0')
    }
}

/// State of a thread as another thread sees it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Sighting {
    /// Number of voluntary context switches.
    pub(in super::super) switches: u64,
    pub(in super::super) activity: Activity,
    /// It has been on a CPU without a break since its counters were read.
    pub(in super::super) is_on_cpu: bool,
}

/// The two kinds of state that the kernel tells apart at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Activity {
    /// Running, or in the run queue: the kernel's `R`, which means both.
    Active,
    /// Sleeping or stopped.
    Asleep,
}
