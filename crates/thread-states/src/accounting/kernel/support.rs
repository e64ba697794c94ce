//! Systems that have the counters.

use std::error::Error;
use std::fmt;

/// Returns an error on systems that have no counters of threads.
///
/// There, threads can be registered and marked all the same: nothing is reported about them, and
/// requests are counted as usual.
///
/// # Errors
///
/// [`Unsupported`] on every system but Linux. There, a process to which the kernel denies the CPU clocks
/// of its threads (seccomp) has no states either; its log says so when the first thread is registered.
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

/// The system has no counters of threads, or denies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if cfg!(target_os = "linux") {
            return formatter.write_str(
                "no thread states: the kernel denies the CPU clocks of threads (clock_gettime, gettid)",
            );
        }
        let system = std::env::consts::OS;
        write!(
            formatter,
            "no thread states: they come from counters of the Linux kernel, and this is {system}"
        )
    }
}

impl Error for Unsupported {}
