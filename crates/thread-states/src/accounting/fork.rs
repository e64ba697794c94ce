//! Forks of the process. A child has one thread: those of its parent, and their requests, are not in it.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of forks between the process that loaded this library and this one.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Returns a number that is another one after each fork, in the child.
///
/// It costs one load. A process that calls `clone(2)` itself, and not the C library's `fork`, is not noticed.
pub(super) fn generation() -> u64 {
    static COUNTING: Once = Once::new();
    COUNTING.call_once(count_forks);
    FORKS.load(Ordering::Relaxed)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std has no pthread_atfork")]
fn count_forks() {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the function has no arguments, and does what is allowed after a fork: it changes an atomic. If
    // memory for the registration is lacking, the call fails and forks are not noticed.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

#[cfg(not(target_os = "linux"))]
fn count_forks() {}
