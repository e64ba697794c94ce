//! Non-blocking socket below hyper, with deadlines: a poll never waits, and a client that is too slow
//! ends in an error of the kind `TimedOut`.
//!
//! hyper has a timeout for heads, but it cannot tell an idle connection from an unfinished head, and
//! it has none for writes. The stream sees every byte, and the connection's state tells which request
//! or response it belongs to:
//!
//! * a read that waits for a request has the idle timeout until the first byte, then the timeout of a
//!   head
//! * a read while a request is served has no deadline: hyper reads to notice a client that leaves, and
//!   `body` enforces the deadline of a body
//! * a write that waits has the write timeout for all of its bytes: a client cannot extend it by reading some now and then

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::super::ClientLimits;
use super::super::connection_state::ConnectionState;
use super::super::memory::{LONGEST_READ, LargeHead, LargeHeads, SMALL_HEAD};
use super::super::response_parts::as_one;
use crate::wire::{self, CoarseInstant, LAST_LOOK};

/// Non-blocking socket of one connection.
#[derive(Debug)]
pub(super) struct AsyncStream {
    socket: TcpStream,
    state: Arc<ConnectionState>,
    limits: ClientLimits,
    /// Deadline for the client to finish a head, or to start one; set when a read has to wait.
    read_deadline: Option<CoarseInstant>,
    /// Set when a write has to wait.
    write_deadline: Option<WriteDeadline>,
    /// Bytes of the head that arrived.
    head_bytes: usize,
    large_heads: LargeHeads,
    /// Held until the response to a request with a large head was sent.
    large_head: Option<LargeHead>,
    /// True if the last read had to wait.
    read_waits: bool,
    timer: Timer,
}

/// Deadline for the client to read what was ready to be sent when a write first had to wait.
#[derive(Debug, Clone, Copy)]
struct WriteDeadline {
    at: CoarseInstant,
    /// Bytes that were ready then and are not sent.
    bytes: usize,
}

impl WriteDeadline {
    /// Counts sent bytes. Returns the deadline for the others; `None` if there are none.
    fn after(self, sent: usize) -> Option<Self> {
        let bytes = self.bytes.checked_sub(sent).filter(|bytes| *bytes > 0)?;
        Some(Self { bytes, ..self })
    }
}

impl AsyncStream {
    pub(super) fn new(
        socket: TcpStream,
        state: Arc<ConnectionState>,
        limits: ClientLimits,
        large_heads: LargeHeads,
    ) -> Self {
        Self {
            socket,
            state,
            limits,
            read_deadline: Some(CoarseInstant::after(limits.read_timeout)),
            write_deadline: None,
            head_bytes: 0,
            large_heads,
            large_head: None,
            read_waits: false,
            timer: Timer::default(),
        }
    }

    /// Closes the connection, after the gateway's own response if there is one.
    pub(super) async fn close(self, reply: Option<Bytes>, unread: bool) {
        if wire::must_linger(&self.socket, reply.as_ref(), unread) {
            // Boxed: each connection has room for the largest of its futures from its beginning.
            Box::pin(wire::close(self.socket, reply)).await;
        }
    }

    /// Reads a few bytes. More would let hyper's buffer grow.
    fn read_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); LONGEST_READ];
        let length = buf.remaining().min(LONGEST_READ);
        let mut read = ReadBuf::uninit(&mut bytes[..length]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes what the socket takes.
    fn write_some(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = as_one(slices, |bytes| {
            Pin::new(&mut self.socket).poll_write(cx, bytes)
        });
        written.unwrap_or_else(|| Pin::new(&mut self.socket).poll_write_vectored(cx, slices))
    }

    /// Adds the bytes to the head, if they belong to one.
    fn on_read(&mut self, length: usize) -> io::Result<()> {
        if !self.state.is_waiting() {
            return Ok(());
        }
        // The deadline of an idle connection is replaced with that of a head when its first bytes arrive.
        if self.state.head_received() && self.state.has_served() {
            self.read_deadline = None;
        }
        self.head_bytes += length;
        if self.head_bytes > SMALL_HEAD && self.large_head.is_none() {
            self.large_head = self.large_heads.hold();
            if self.large_head.is_none() {
                self.state.head_refused();
                return Err(ErrorKind::ResourceBusy.into());
            }
        }
        self.look_for_client();
        Ok(())
    }

    /// Notices that the client has left since it sent the head.
    fn look_for_client(&self) {
        // A socket stays readable after a read that took all its bytes if it was closed. Of a new socket
        // the event loop does not know it yet. Otherwise the system call is not worth it.
        let is_readable = || self.socket.try_io(Interest::READABLE, || Ok(())).is_ok();
        let may_be_closed = !self.state.has_served() || is_readable();
        if may_be_closed && super::super::tcp_info::is_abandoned(&self.socket) {
            self.state.abandon();
        }
    }

    /// Ready with an error when a read has waited too long.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.state.is_waiting() {
            return Poll::Pending;
        }
        let timeout = if self.state.has_head() {
            self.limits.read_timeout
        } else {
            self.limits.idle_timeout
        };
        let deadline = *self
            .read_deadline
            .get_or_insert_with(|| CoarseInstant::after(timeout));
        ready!(self.timer.poll_until(cx, deadline));
        self.state.head_timed_out();
        Poll::Ready(ErrorKind::TimedOut.into())
    }

    /// Ready with an error when a write of these bytes, or of earlier ones, has waited too long.
    fn poll_write_deadline(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Error> {
        let timeout = self.limits.write_timeout;
        let deadline = self.write_deadline.get_or_insert_with(|| WriteDeadline {
            at: CoarseInstant::after(timeout),
            bytes: slices.iter().map(|slice| slice.len()).sum(),
        });
        let deadline = deadline.at;
        ready!(self.timer.poll_until(cx, deadline));
        Poll::Ready(ErrorKind::TimedOut.into())
    }
}

impl Read for AsyncStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.read_some(cx, &mut buf);
        self.read_waits = read.is_pending();
        match read {
            Poll::Ready(Ok(length)) => Poll::Ready(self.on_read(length)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_read_deadline(cx).map(Err),
        }
    }
}

impl Write for AsyncStream {
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
        if self.state.is_waiting() {
            return Poll::Ready(Ok(self.state.take_hyper_reply(slices)));
        }
        match self.write_some(cx, slices) {
            Poll::Ready(written) => {
                if let (Some(deadline), Ok(sent)) = (self.write_deadline, &written) {
                    self.write_deadline = deadline.after(*sent);
                }
                Poll::Ready(written)
            }
            Poll::Pending => self.poll_write_deadline(cx, slices).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.flushed() {
            self.read_deadline = None;
            (self.head_bytes, self.large_head) = (0, None);
            // hyper reads again only when the socket wakes it. If its last read had to wait, no other
            // poll would start the timer of the idle connection. A new timer wakes the event loop by a system call, so a
            // connection that closes gets none.
            if self.read_waits
                && !self.state.closes()
                && let Poll::Ready(error) = self.poll_read_deadline(cx)
            {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Left to `close`, which may have to send the gateway's own response first.
        Poll::Ready(Ok(()))
    }
}

/// Timer whose deadline may change at every poll, all of which are of one task.
///
/// To reset tokio's timer takes a lock, and the deadline moves with every request. So it is reset only
/// when it would fire too late, or has fired too early. Until then it is not polled either: it has the task's waker.
#[derive(Debug, Default)]
struct Timer {
    running: Option<Running>,
    /// A deadline has passed, and the timer runs for the last look at the socket.
    looks_again: bool,
}

/// A timer that has been polled.
#[derive(Debug)]
struct Running {
    sleep: Pin<Box<Sleep>>,
    /// Time at which it fires.
    end: CoarseInstant,
}

impl Timer {
    /// Ready when the deadline has passed and the event loop has looked at the socket once more.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: CoarseInstant) -> Poll<()> {
        if let Some(Running { sleep, end }) = &self.running
            && !sleep.is_elapsed()
            && *end <= deadline
        {
            return Poll::Pending;
        }
        let now = CoarseInstant::now();
        if now < deadline {
            self.looks_again = false;
            return self.start(deadline.duration_since(now), deadline).poll(cx);
        }
        match &mut self.running {
            Some(Running { sleep, .. }) if self.looks_again => sleep.as_mut().poll(cx),
            _ => {
                self.looks_again = true;
                self.start(LAST_LOOK, CoarseInstant::after(LAST_LOOK))
                    .poll(cx)
            }
        }
    }

    /// Starts the timer again, which fires at `end`, after the time that is `left`.
    fn start(&mut self, left: Duration, end: CoarseInstant) -> Pin<&mut Sleep> {
        let sleep = match self.running.take() {
            Some(Running { mut sleep, .. }) => {
                sleep.as_mut().reset(Instant::now() + left);
                sleep
            }
            None => Box::pin(sleep(left)),
        };
        let Running { sleep, .. } = self.running.insert(Running { sleep, end });
        sleep.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream as StdStream};
    use std::pin::pin;
    use std::thread;

    use futures_util::poll;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(30);

    /// Connects a client to a stream with short timeouts.
    fn connect() -> (StdStream, AsyncStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let limits = ClientLimits {
            read_timeout: TIMEOUT,
            write_timeout: TIMEOUT,
            ..ClientLimits::default()
        };
        let heads = LargeHeads::new(1);
        let socket = TcpStream::from_std(socket).unwrap();
        (
            client,
            AsyncStream::new(socket, Arc::default(), limits, heads),
        )
    }

    async fn read(stream: &mut AsyncStream) -> io::Result<usize> {
        let mut bytes = [MaybeUninit::uninit(); 16];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut bytes);
        std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await?;
        Ok(buffer.filled().len())
    }

    async fn write(stream: &mut AsyncStream) -> io::Result<usize> {
        let bytes = [0; 64 * 1024];
        std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, &bytes)).await
    }

    #[tokio::test]
    async fn a_head_that_arrived_while_the_thread_was_stopped_is_read_after_the_deadline() {
        let (mut client, mut stream) = connect();
        client.write_all(b"GET").unwrap();
        // The event loop does not run meanwhile.
        thread::sleep(TIMEOUT * 3);
        assert_eq!(read(&mut stream).await.unwrap(), 3);
        let error = read(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_a_client_read_while_the_thread_was_stopped_makes_room_after_the_deadline() {
        let (mut client, mut stream) = connect();
        stream.state.request_started(false);
        let mut sent = 0;
        while let Poll::Ready(length) = poll!(pin!(write(&mut stream))) {
            sent += length.unwrap();
        }
        client.read_exact(&mut vec![0; sent]).unwrap();
        thread::sleep(TIMEOUT * 3);
        assert!(write(&mut stream).await.unwrap() > 0);
        let error = loop {
            if let Err(error) = write(&mut stream).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn the_deadline_of_a_write_holds_until_all_of_its_bytes_are_sent() {
        let at = CoarseInstant::now();
        let deadline = WriteDeadline { at, bytes: 100 };
        let later = deadline.after(60).unwrap();
        assert_eq!((later.at, later.bytes), (at, 40));
        // More may have become ready since then, and have been sent with the rest.
        assert!(later.after(40).is_none() && later.after(50).is_none());
    }
}
