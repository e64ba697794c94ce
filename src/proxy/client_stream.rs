//! The client's socket below hyper. It does two things that hyper does not: it ends a connection whose
//! client does not read, and it drops the error responses that hyper writes by itself, so that
//! `connection` can send one with a body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::headers;
use crate::wire;

/// Socket of one client.
#[derive(Debug)]
pub(super) struct ClientStream {
    socket: TcpStream,
    activity: Arc<Activity>,
    /// Longest time for which the client may read nothing of a response.
    write_timeout: Duration,
    /// Runs while a write waits for the client.
    timer: Option<Pin<Box<Sleep>>>,
    /// Status of the response that hyper wrote by itself.
    error_status: Option<StatusCode>,
}

impl ClientStream {
    pub(super) fn new(socket: TcpStream, write_timeout: Duration, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            activity,
            write_timeout,
            timer: None,
            error_status: None,
        }
    }

    /// Returns the socket, and the status of the error response that is still to be sent, if any.
    pub(super) fn into_parts(self) -> (TcpStream, Option<StatusCode>) {
        (self.socket, self.error_status)
    }
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(status) = own_error(bytes) {
            self.error_status = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.activity.set_unsent(true);
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timeout = self.write_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has written all that it has.
        self.activity.set_unsent(false);
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Left to `connection`, which may have to send an error response first.
        Poll::Ready(Ok(()))
    }
}

/// Returns the status of an error response that hyper wrote by itself. Responses that passed through
/// the front have a request ID.
fn own_error(bytes: &[u8]) -> Option<StatusCode> {
    let status = wire::hyper_status(bytes)?;
    let name = headers::REQUEST_ID;
    let id = name.as_str().as_bytes();
    let has_id = bytes.windows(id.len()).any(|window| window == id);
    (!has_id).then_some(status)
}
