//! The last look at a client's socket before a deadline counts as missed, or a connection as idle.

use std::time::Duration;

/// Time in which the event loop looks at the sockets once more: after a deadline, and at a shutdown.
///
/// An event loop that was busy has not seen what has arrived meanwhile. One whose process was stopped (`SIGSTOP`, a
/// debugger, the freezer of cgroups) continues with its timers, because the `epoll_wait` in which it was stopped returns
/// without events (`EINTR`, signal(7)). A second timer fires only after the next look at the sockets.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(1);
