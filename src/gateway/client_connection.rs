//! The connection that a request came on, as an extension of the request.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::wire::CoarseInstant;

/// The connection that a request came on, as an extension of the request.
///
/// The asynchronous gateway drops the app's future when it notices that the client has left. It cannot
/// notice that while its thread is busy, and the synchronous gateway does not read while the app works.
/// This type tells an app that is about to begin work, or has done some.
///
/// The synchronous gateway adds it to each request. The asynchronous one knows only of the time before it calls the app,
/// and adds it to the requests whose client has left by then.
#[derive(Debug, Clone)]
pub struct ClientConnection(Source);

#[derive(Debug, Clone)]
enum Source {
    /// A request that outlives its connection must not keep the socket open.
    Socket(Weak<ClientSocket>),
    /// The client has left.
    Closed,
}

impl ClientConnection {
    pub(super) fn of_socket(socket: &Arc<ClientSocket>) -> Self {
        Self(Source::Socket(Arc::downgrade(socket)))
    }

    /// A connection whose client has left.
    pub(super) fn closed() -> Self {
        Self(Source::Closed)
    }

    /// Returns whether the client closed the connection, or only its sending side, while its request
    /// waited, for at least 100 ms. On other systems than Linux it is never known.
    ///
    /// A client that has left is found within 100 ms: one that was there less than that ago is not looked for again.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        match &self.0 {
            Source::Socket(socket) => socket.upgrade().is_some_and(|socket| socket.is_abandoned()),
            Source::Closed => true,
        }
    }
}

/// Socket of a connection to a client, and the time at which it was last looked for that client.
#[derive(Debug)]
pub(super) struct ClientSocket {
    pub(super) stream: TcpStream,
    /// Milliseconds of a [`CoarseInstant`]; 0 before the first look.
    seen: AtomicU64,
}

impl ClientSocket {
    /// Time for which a client that was there counts as there. With a step of the clock, it is less than that after
    /// which a client may count as having left.
    const STAYS: Duration = Duration::from_millis(90);

    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            seen: AtomicU64::new(0),
        }
    }

    /// Returns whether the client has left. A look takes a system call, and at a high rate there would be one for each
    /// request of the connection.
    fn is_abandoned(&self) -> bool {
        let now = CoarseInstant::now().as_millis();
        let since = Duration::from_millis(now.saturating_sub(self.seen.load(Relaxed)));
        if since < Self::STAYS {
            return false;
        }
        let is_abandoned = super::tcp_info::is_abandoned(&self.stream);
        if !is_abandoned {
            self.seen.store(now, Relaxed);
        }
        is_abandoned
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::TcpListener;
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_client_that_leaves_after_it_was_seen_is_missed_within_100_ms() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Arc::new(ClientSocket::new(listener.accept().unwrap().0));
        let connection = ClientConnection::of_socket(&socket);
        for _ in 0..2 {
            assert!(!connection.is_abandoned(), "the client is there");
            sleep(Duration::from_millis(100));
        }
        drop(client);
        assert!(connection.is_abandoned(), "it was seen 100 ms ago");
        drop(socket);
        assert!(!connection.is_abandoned(), "no socket shows it");
    }
}
