//! The last look at a client's socket before a deadline counts as missed, or a connection as idle.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::timeout;

/// Time in which the event loop looks at the sockets once more: after a deadline, and at a shutdown.
///
/// An event loop that was busy has not seen what has arrived meanwhile. One whose process was stopped (`SIGSTOP`, a
/// debugger, the freezer of cgroups) continues with its timers, because the `epoll_wait` in which it was stopped returns
/// without events (`EINTR`, signal(7)). A second timer fires only after the next look at the sockets.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(1);

/// Serves the last request of a connection after a shutdown. Returns `None` if there is none, or no whole head of one, by
/// `is_idle`. `shut_down` lets the connection end with the request in flight.
pub(crate) async fn finish<C: Future + Unpin>(
    connection: &mut C,
    shut_down: impl FnOnce(Pin<&mut C>),
    is_idle: impl FnOnce() -> bool,
) -> Option<C::Output> {
    let mut connection = Pin::new(connection);
    // A request may be there that the event loop has not seen yet. hyper would close an idle connection at once.
    if let Ok(result) = timeout(LAST_LOOK, connection.as_mut()).await {
        return Some(result);
    }
    // hyper would wait for the rest of a head that has begun.
    if is_idle() {
        return None;
    }
    shut_down(connection.as_mut());
    Some(connection.await)
}
