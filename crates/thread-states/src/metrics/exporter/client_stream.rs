//! A client's socket below hyper. It ends a connection whose client does not read, records since when
//! the connection waits for its client, and gives hyper's own error responses a body.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use crate::problem::{MEDIA_TYPE, Problem};

/// Longest time between an error response and the close. A close while bytes arrive is a reset, and
/// makes a client discard a response that it has not read yet (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);

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

    /// Closes the connection, after an error response in place of hyper's own.
    pub(super) async fn close(mut self) {
        let Some(status) = self.error_status else {
            return;
        };
        let reply = error_reply(status);
        let closing = async {
            let mut left = reply.as_bytes();
            while !left.is_empty() {
                let socket = &mut self.socket;
                let written = poll_fn(|cx| Pin::new(&mut *socket).poll_write(cx, left)).await?;
                left = &left[written..];
            }
            poll_fn(|cx| Pin::new(&mut self.socket).poll_shutdown(cx)).await?;
            let mut discarded = [0; 4096];
            loop {
                self.socket.readable().await?;
                match self.socket.try_read(&mut discarded) {
                    Ok(0) => return io::Result::Ok(()),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
        };
        // A client that has gone, or does not close its side, does not matter.
        let _ = timeout(LINGER, closing).await;
    }
}

/// Returns an error response with the same form as those of the routes.
fn error_reply(status: StatusCode) -> String {
    let detail = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the head of the request is too large",
        StatusCode::URI_TOO_LONG => "the request's target is too long",
        _ => "the request is not well-formed HTTP/1.1",
    };
    let problem = Problem::new(status, detail);
    let (body, title) = (problem.to_json(), problem.title);
    let media_type = MEDIA_TYPE;
    format!(
        "HTTP/1.1 {} {title}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16(),
        media_type.to_str().unwrap_or_default(),
        body.len(),
    )
}

/// Returns the status of an error response that hyper wrote by itself: it has no body, and no media
/// type, which every error response of the routes has.
fn own_error(bytes: &[u8]) -> Option<StatusCode> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status).ok()?;
    let has_media_type = bytes
        .windows(13)
        .any(|name| name.eq_ignore_ascii_case(b"content-type:"));
    (status.is_client_error() && bytes.ends_with(b"\r\n\r\n") && !has_media_type).then_some(status)
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
        self.written = true;
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
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
