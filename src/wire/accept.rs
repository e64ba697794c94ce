//! Delay after a failed `accept`.

use std::io;
use std::time::Duration;

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
}
