//! Lingering close of a client's connection (RFC 9112, section 9.6).
//!
//! When a socket is closed while its receive buffer holds unread bytes, or when bytes arrive after
//! the close, the kernel sends a reset. A client that gets a reset may discard a response that it has
//! not read yet. So the server first closes only its sending side and discards what still arrives.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest time between the last response and the close.
///
/// Enough for a lost segment to be sent again, after 1 s (RFC 6298, section 2), and to be acknowledged.
/// No longer, because in the synchronous gateway the connection holds a thread.
const LINGER: Duration = Duration::from_secs(2);

/// Size of the buffer for discarded bytes.
const DISCARD_BUFFER: usize = 4 * 1024;

/// Returns whether an immediate close of `socket` could lose the last response: when there is a `reply` to a request that
/// was not read to its end, when other request bytes were left `unread`, or when the kernel has received bytes that have
/// not been read.
pub fn must_linger<'a>(
    socket: impl Into<SockRef<'a>>,
    reply: Option<&Bytes>,
    unread: bool,
) -> bool {
    reply.is_some() || unread || has_bytes(&socket.into())
}

fn has_bytes(socket: &SockRef<'_>) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    #[cfg(unix)]
    let peeked = socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    // Only the exporter is there, whose sockets do not block.
    #[cfg(not(unix))]
    let peeked = socket.peek(&mut byte);
    matches!(peeked, Ok(1..))
}

/// Sends `reply`, if any, and closes the connection when the client has closed its side, after 2 s at
/// the latest.
pub async fn close(mut socket: TcpStream, reply: Option<Bytes>) {
    let closing = async {
        socket.write_all(&reply.unwrap_or_default()).await?;
        socket.shutdown().await?;
        // Not within the future: each connection has room for the largest of its futures from its beginning.
        let mut discarded = vec![0; DISCARD_BUFFER];
        while socket.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    match timeout(LINGER, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the connection broke while it was closing"),
        Err(_) => tracing::debug!("the client did not close its side in time"),
    }
}
