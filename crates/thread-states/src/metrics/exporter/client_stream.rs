//! A client's socket below hyper. It ends a connection whose client does not read, records since when
//! the connection waits for its client, and gives hyper's own error responses a body.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::http1;

/// Time since which a connection waits for its client; `None` while a route works. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct WaitsSince(Arc<Mutex<Option<Instant>>>);

impl WaitsSince {
    pub(super) fn now() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }

    pub(super) fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Socket of one client.
#[derive(Debug)]
pub(super) struct ClientStream {
    socket: TcpStream,
    waits_since: WaitsSince,
    /// Longest time for which the client may leave bytes unread.
    write_timeout: Duration,
    /// Runs from a write that had to wait until everything is written, so that a client cannot extend
    /// it by reading a byte now and then.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Bytes were written since the last flush.
    written: bool,
    /// Status of an error response that hyper wrote by itself.
    error_status: Option<StatusCode>,
}

impl ClientStream {
    pub(super) fn new(socket: TcpStream, write_timeout: Duration, waits_since: WaitsSince) -> Self {
        Self {
            socket,
            waits_since,
            write_timeout,
            timer: None,
            written: false,
            error_status: None,
        }
    }

    /// Time since which the connection waits for its client.
    pub(super) fn waits_since(&self) -> WaitsSince {
        self.waits_since.clone()
    }

    /// Returns the status of an error response that hyper wrote by itself and the client did not get.
    pub(super) fn error_status(&self) -> Option<StatusCode> {
        self.error_status
    }

    /// Closes the connection, after this error response if there is one. It lingers if the client may have sent bytes
    /// that were left `unread`: the kernel would reset the connection, and the client could lose its last response.
    pub(super) async fn close(self, reply: Option<Bytes>, unread: bool) {
        if http1::must_linger(&self.socket, reply.as_ref(), unread) {
            http1::close(self.socket, reply).await;
        }
    }
}

/// Returns the status of an error response that hyper wrote by itself: it has no media type, which every error response
/// of the routes has.
fn own_error(bytes: &[u8]) -> Option<StatusCode> {
    let is_media_type = |name: &[u8]| name.eq_ignore_ascii_case(b"content-type:");
    http1::hyper_status(bytes).filter(|_| !bytes.windows(13).any(is_media_type))
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // An error response of hyper's own is one slice.
        let first = slices.first().map_or(&[][..], |slice| slice);
        if let Some(status) = own_error(first) {
            self.error_status = Some(status);
            return Poll::Ready(Ok(first.len()));
        }
        self.written = true;
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        if written.is_pending() {
            let write_timeout = self.write_timeout;
            let start = || (Instant::now(), Box::pin(sleep(write_timeout)));
            let (since, timer) = self.timer.get_or_insert_with(start);
            let (since, timer) = (*since, timer.as_mut().poll(cx));
            // A pipelined request may have been served meanwhile.
            self.waits_since.set(Some(since));
            if timer.is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }

    /// hyper would otherwise copy the page, which may have megabytes, behind the head.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.written) {
            self.timer = None;
            self.waits_since.set(Some(Instant::now()));
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Left to `close`, which may have to send an error response first.
        Poll::Ready(Ok(()))
    }
}
