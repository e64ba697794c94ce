//! Types of the wait for the next connection, with or without idle ones.

use std::net::TcpStream;

/// Event for which an idle connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It has bytes, or its client has closed it.
    Readable,
    /// Everything that was ready before it has had its turn.
    NextTurn,
}

/// Something for the thread that waited.
#[derive(Debug)]
pub(super) enum Arrival<C> {
    /// A new connection.
    New(TcpStream),
    /// A connection that is ready, or whose deadline has passed.
    Idle(C),
}
