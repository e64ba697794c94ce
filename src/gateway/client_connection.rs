//! The connection that a request came on, as an extension of the request.

use std::net::TcpStream;
use std::sync::{Arc, Weak};

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
    Socket(Weak<TcpStream>),
    /// The client has left.
    Closed,
}

impl ClientConnection {
    pub(super) fn of_socket(socket: &Arc<TcpStream>) -> Self {
        Self(Source::Socket(Arc::downgrade(socket)))
    }

    /// A connection whose client has left.
    pub(super) fn closed() -> Self {
        Self(Source::Closed)
    }

    /// Returns whether the client closed the connection, or only its sending side, while its request
    /// waited, for at least 100 ms. On other systems than Linux it is never known.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        match &self.0 {
            Source::Socket(socket) => socket.upgrade().is_some_and(super::tcp_info::is_abandoned),
            Source::Closed => true,
        }
    }
}
