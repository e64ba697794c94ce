//! A socket as hyper reads and writes it: a poll never waits, but a deadline does.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::super::Limits;
use super::super::exchange::Exchange;

/// How long a connection may live on after its last answer, so that a client that still sends gets
/// to read it.
const LINGER: Duration = Duration::from_secs(3);

/// Bytes of one read when they are discarded.
const CHUNK: usize = 4 * 1024;

/// One connection's socket.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TokioIo<TcpStream>,
    exchange: Arc<Exchange>,
    limits: Limits,
    /// Until when the client may leave a request's head unfinished, or not begin one; set when a
    /// read has to wait.
    read_by: Option<Instant>,
    /// Until when the client may leave an answer unread; set when a write has to wait.
    written_by: Option<Instant>,
    /// Whether a request was answered, so that the next may be long in coming.
    served: bool,
    /// Whether the last read had to wait.
    read_waits: bool,
    alarm: Alarm,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, exchange: Arc<Exchange>, limits: Limits) -> Self {
        Self {
            socket: TokioIo::new(socket),
            exchange,
            limits,
            read_by: Some(Instant::now() + limits.read_timeout),
            written_by: None,
            served: false,
            read_waits: false,
            alarm: Alarm::default(),
        }
    }

    /// Ends the connection, with the gateway's own answer if it owes one.
    pub(super) async fn finish(self, refusal: Option<String>, unread: bool) {
        if !unread && refusal.is_none() {
            return;
        }
        let mut socket = self.socket.into_inner();
        let farewell = async {
            socket
                .write_all(refusal.unwrap_or_default().as_bytes())
                .await?;
            // To close a socket with unread bytes resets the connection, and the reset may overtake
            // the answer.
            socket.shutdown().await?;
            let mut rest = [0; CHUNK];
            while socket.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        if let Ok(Err(error)) = timeout(LINGER, farewell).await {
            tracing::debug!(%error, "the client did not wait for its answer");
        }
    }

    /// Bytes came. The deadline of an idle connection gives way to that of a head.
    fn on_read(&mut self) {
        if self.exchange.is_waiting() && self.exchange.head_began() && self.served {
            self.read_by = None;
        }
    }

    /// A read has to wait. While a request is served nothing is due from the client that `body`
    /// does not see to; hyper reads all the same, to notice when the client leaves.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.exchange.is_waiting() {
            return Poll::Pending;
        }
        let span = if self.exchange.has_head() {
            self.limits.read_timeout
        } else {
            self.limits.idle_timeout
        };
        let deadline = *self.read_by.get_or_insert_with(|| Instant::now() + span);
        ready!(self.alarm.poll_until(cx, deadline));
        self.exchange.head_late();
        Poll::Ready(ErrorKind::TimedOut.into())
    }

    /// A write has to wait.
    fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let span = self.limits.write_timeout;
        let deadline = *self.written_by.get_or_insert_with(|| Instant::now() + span);
        ready!(self.alarm.poll_until(cx, deadline));
        Poll::Ready(ErrorKind::TimedOut.into())
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.read_waits = read.is_pending();
        match read {
            Poll::Ready(read) => {
                self.on_read();
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_read_deadline(cx).map(Err),
        }
    }
}

impl Write for Stream {
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
        if self.exchange.is_waiting() {
            return Poll::Ready(Ok(self.exchange.refuse_as(slices)));
        }
        match Pin::new(&mut self.socket).poll_write_vectored(cx, slices) {
            Poll::Ready(written) => {
                self.written_by = None;
                Poll::Ready(written)
            }
            Poll::Pending => self.poll_write_deadline(cx).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exchange.flushed() {
            self.read_by = None;
            self.served = true;
            // If hyper's last read had to wait, it will not read again before it is woken.
            if self.read_waits
                && let Poll::Ready(late) = self.poll_read_deadline(cx)
            {
                return Poll::Ready(Err(late));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // That is for `finish` to do.
        Poll::Ready(Ok(()))
    }
}

/// A timer whose deadline may move at every poll. It is set anew only where it must be: when it
/// would ring too late, or has rung too early.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        if sleep.deadline() < deadline {
            sleep.as_mut().reset(deadline);
            return sleep.as_mut().poll(cx);
        }
        Poll::Ready(())
    }
}
