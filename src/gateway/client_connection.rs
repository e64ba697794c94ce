//! The connection that a request came on, as an extension of the request.

use std::net::TcpStream;
use std::sync::{Arc, Weak};

use super::connection_state::ConnectionState;

/// The connection that a request came on, which the gateway adds to the extensions of each request.
///
/// The asynchronous gateway drops the app's future when it notices that the client has left. It cannot
/// notice that while its thread is busy, and the synchronous gateway does not read while the app works.
/// This type tells an app that is about to begin work, or has done some.
#[derive(Debug, Clone)]
pub struct ClientConnection(Source);

#[derive(Debug, Clone)]
enum Source {
    /// A request that outlives its connection must not keep the socket open.
    Socket(Weak<TcpStream>),
    State(Arc<ConnectionState>),
}

impl ClientConnection {
    pub(super) fn of_socket(socket: &Arc<TcpStream>) -> Self {
        Self(Source::Socket(Arc::downgrade(socket)))
    }

    pub(super) fn of_state(state: &Arc<ConnectionState>) -> Self {
        Self(Source::State(Arc::clone(state)))
    }

    /// Returns whether the client closed the connection, or only its sending side, while its request
    /// waited, for at least 100 ms. On the asynchronous gateway this is known of the time before the app
    /// was called. On other systems than Linux it is never known.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        match &self.0 {
            Source::Socket(socket) => socket.upgrade().is_some_and(super::tcp_info::is_abandoned),
            Source::State(state) => state.is_abandoned(),
        }
    }
}
