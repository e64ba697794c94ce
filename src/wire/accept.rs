//! Delays between two calls of `accept`: after an error, and while file descriptors are scarce.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// Time for other connections to close and return their file descriptors.
const BACKOFF: Duration = Duration::from_millis(100);

/// Returns how long to wait before the next `accept`, and logs the error if there is a wait.
///
/// Zero after an error that concerns only the connection that would have been accepted, such as a
/// client's reset (accept(2), "Error handling"). Other errors last: while the process has no free
/// file descriptor, `accept` would fail again at once and keep a CPU busy.
pub(crate) fn backoff(error: &io::Error) -> Duration {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::Interrupted => Duration::ZERO,
        _ => {
            tracing::warn!(%error, "cannot accept a connection");
            BACKOFF
        }
    }
}

/// Returns whether an `accepted` connection has one of the last file descriptors of the process. Those
/// are left to the metrics port: when the servers have none, their metrics are most needed.
///
/// A new descriptor has the lowest free number (POSIX, "File Descriptor Allocation"), so with a high
/// number all below it are in use.
pub(crate) fn is_last(accepted: impl AsFd) -> bool {
    /// For a few connections, and for the files that a scrape reads.
    const RESERVE: u64 = 16;
    /// Limit as it was last read. It is read again only where it may matter, not for each connection.
    static LAST_READ: AtomicU64 = AtomicU64::new(0);

    let number = u64::try_from(accepted.as_fd().as_raw_fd()).unwrap_or_default();
    if number < LAST_READ.load(Relaxed) / 2 {
        return false;
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return false;
    };
    LAST_READ.store(limit, Relaxed);
    number + RESERVE.min(limit / 8) >= limit
}

/// Returns how long to wait before the next `accept` after a connection that [`is_last`], or `None` when
/// there are enough descriptors again. Connections wait in the kernel's accept queue meanwhile.
pub(crate) fn scarcity(listener: impl AsFd) -> Option<Duration> {
    // A duplicate gets the number that the next connection would get.
    let next = listener.as_fd().try_clone_to_owned();
    next.map_or(true, is_last).then_some(BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lasting_errors_delay_the_next_accept() {
        let aborted = io::ErrorKind::ConnectionAborted.into();
        assert!(backoff(&aborted).is_zero());
        let no_descriptors = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(!backoff(&no_descriptors).is_zero());
    }

    #[test]
    fn descriptors_are_not_scarce_here() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_last(&listener));
        assert_eq!(scarcity(&listener), None);
    }
}
