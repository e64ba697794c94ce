//! What the kernel knows about a thread: its clocks, its run-queue delay, its context switches.
//!
//! Linux tells them of any thread at any moment. [`Source`] has no value elsewhere, so that what
//! cannot be known is not made up.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;

use std::error::Error;
use std::fmt;

pub(super) use system::Source;

/// The present time in nanoseconds, as all times of the accounting: of `CLOCK_MONOTONIC` on Linux,
/// since this was first asked elsewhere.
#[must_use]
pub fn now() -> u64 {
    system::now()
}

/// Whether this system tells what its threads do.
///
/// Where it does not, threads may be registered and marked all the same: nothing is shown of
/// them, and requests are counted as ever.
///
/// # Errors
///
/// Says why not: it is not Linux.
///
/// ```
/// if let Err(unsupported) = thread_states::supported() {
///     eprintln!("{unsupported}");
/// }
/// ```
pub fn supported() -> Result<(), Unsupported> {
    if cfg!(target_os = "linux") {
        Ok(())
    } else {
        Err(Unsupported)
    }
}

/// This system does not tell what its threads do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = std::env::consts::OS;
        write!(
            formatter,
            "no thread states: they come from counters of the Linux kernel, and this is {system}"
        )
    }
}

impl Error for Unsupported {}

/// What the counters of a thread said at one moment; all but `switches` in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// `CLOCK_MONOTONIC`.
    pub(super) wall: u64,
    /// The thread's CPU clock.
    pub(super) cpu: u64,
    /// Its run-queue delay: how long it was runnable and not running.
    pub(super) delay: u64,
    /// How often it left the CPU of its own will.
    pub(super) switches: u64,
}

/// A thread's state as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status {
    /// How often it left the CPU of its own will.
    pub(super) switches: u64,
    /// Whether it runs or wants to.
    pub(super) runs: bool,
}
