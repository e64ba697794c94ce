//! Blocking socket below hyper: a poll is a system call that waits.
//!
//! hyper polls a stream and expects `Pending` when there is nothing to read. This one blocks instead,
//! so it must not be read while the app works: the read would keep the app from running. hyper reads
//! at three moments, and the connection's state tells them apart:
//!
//! * before a request: the head is due, so the read waits for it. If connections are kept, it waits only for the rest of
//!   a head; until a head begins, no thread holds the connection
//! * while the app wants the body: the read waits, but only after the app had a turn
//! * otherwise: the read returns 0 bytes, which hyper takes for a client that has closed its sending
//!   side. With `half_close(true)` it then still writes the response.
//!
//! A write waits until the client has read enough. The time for that begins when a write first has to wait, and ends when
//! nothing is left to write.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;

use super::super::ClientLimits;
use super::super::client_connection::ClientSocket;
use super::super::connection_state::ConnectionState;
use super::super::response_parts::as_one;
use super::super::shutdown::Shutdown;
use crate::wire;

/// Most bytes of one read.
const CHUNK: usize = 16 * 1024;

/// Time between two checks for a shutdown while a head is due: a shutdown waits for requests, not for
/// connections that have not sent a whole one.
const SHUTDOWN_CHECK: Duration = Duration::from_millis(100);

/// Part of the request that the client sends next.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Head,
    Body,
    /// The connection's last request has its response.
    Nothing,
}

/// Blocking socket of one connection.
#[derive(Debug)]
pub(super) struct BlockingStream {
    /// Shared with the extension of the request, which does not keep it open.
    socket: Arc<ClientSocket>,
    state: Arc<ConnectionState>,
    read_timeout: Duration,
    write_timeout: Duration,
    /// Deadline for the client to read what is ready to be sent; set when a write has to wait.
    write_deadline: Option<Instant>,
    /// Time left for the client: first for its head, then for its body. Only reads use it up.
    time_left: Duration,
    /// Deadline of a first head for which no thread waits from the beginning.
    first_deadline: Option<Instant>,
    shutdown: Shutdown,
    due: Due,
    /// True if the app was polled since the last bytes of the body, so that a read may block.
    yielded: bool,
}

impl BlockingStream {
    pub(super) fn new(
        socket: Arc<ClientSocket>,
        state: Arc<ConnectionState>,
        limits: ClientLimits,
        first_deadline: Option<Instant>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            socket,
            state,
            read_timeout: limits.read_timeout,
            write_timeout: limits.write_timeout,
            write_deadline: None,
            time_left: limits.read_timeout,
            first_deadline,
            shutdown,
            due: Due::Head,
            yielded: false,
        }
    }

    /// Closes the connection, after the gateway's own response if there is one.
    pub(super) async fn close(self, reply: Option<Bytes>, unread: bool) {
        if !wire::must_linger(&self.socket.stream, reply.as_ref(), unread) {
            return;
        }
        let non_blocking = self.socket.stream.set_nonblocking(true);
        let Some(socket) = Arc::into_inner(self.socket) else {
            // Another thread looks whether the client has left, and then closes the socket.
            return;
        };
        match non_blocking.and_then(|()| tokio::net::TcpStream::from_std(socket.stream)) {
            Ok(socket) => wire::close(socket, reply).await,
            Err(error) => tracing::warn!(%error, "a connection was closed without its response"),
        }
    }

    /// Reads the first bytes of a head if they have arrived, and otherwise ends the turn. Waits for the rest.
    fn poll_read_head(&mut self, buf: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // What arrived during the turn waits for the next one, so that a client cannot keep the thread.
        if self.state.is_turn_over() {
            self.state.starve();
            return Poll::Pending;
        }
        if self.state.has_turns() && !self.state.has_head() {
            match self.receive(buf, RecvFlags::DONTWAIT) {
                Ok(0) => {}
                Ok(_) => self.begin_head(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.state.starve();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.read_head(buf))
    }

    /// Records the first bytes of a head. The time before them counts, too, if it is the first one.
    fn begin_head(&mut self) {
        self.state.head_received();
        if let Some(deadline) = self.first_deadline.take() {
            // The rest may be there already, so it is looked for in any case.
            let left = deadline.saturating_duration_since(Instant::now());
            self.time_left = left.max(Duration::from_millis(1));
        }
    }

    /// Receives bytes of the head. Most often they are there already, and a read without a limit of its wait saves the
    /// call that sets one.
    fn read_head(&mut self, buf: &mut ReadBufCursor<'_>) -> io::Result<()> {
        let read = match self.receive(buf, RecvFlags::DONTWAIT) {
            Err(error) if is_transient(&error) => self.wait(buf),
            read => read,
        };
        match read {
            Ok(0) => {}
            Ok(_) => {
                self.state.head_received();
            }
            Err(error) => {
                if error.kind() == ErrorKind::TimedOut {
                    self.state.head_timed_out();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads bytes of the body that have arrived. If there are none, yields once before it waits:
    /// hyper then writes what it has buffered, such as the `100 Continue` without which the client
    /// sends no body, and the app can work on the bytes that it has.
    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.due == Due::Head {
            self.due = Due::Body;
            self.time_left = self.read_timeout;
        }
        match self.receive(buf, RecvFlags::DONTWAIT) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return Poll::Ready(read.map(drop)),
        }
        if !std::mem::replace(&mut self.yielded, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.yielded = false;
        Poll::Ready(self.wait(buf).map(drop))
    }

    /// Receives bytes, and waits for them until the client has no time left.
    fn wait(&mut self, buf: &mut ReadBufCursor<'_>) -> io::Result<usize> {
        while !self.time_left.is_zero() {
            let is_head = self.due == Due::Head;
            if is_head && self.shutdown.is_cancelled() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let longest = if is_head {
                SHUTDOWN_CHECK
            } else {
                self.time_left
            };
            self.socket
                .stream
                .set_read_timeout(Some(self.time_left.min(longest)))?;
            let start = Instant::now();
            let read = self.receive(buf, RecvFlags::empty());
            self.time_left = self.time_left.saturating_sub(start.elapsed());
            match read {
                // Linux reports the end of SO_RCVTIMEO as EAGAIN (socket(7)).
                Err(error) if is_transient(&error) => {}
                read => return read,
            }
        }
        timed_out(self.receive(buf, RecvFlags::DONTWAIT))
    }

    /// Sends bytes, and waits until at least one is sent or the client has no time left. Most often there is room for all
    /// of them, and a write without a limit of its wait saves the call that sets one.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = self.send(slices, SendFlags::DONTWAIT);
        while let Err(error) = &sent
            && is_transient(error)
        {
            let timeout = self.write_timeout;
            let start = || Instant::now() + timeout;
            let deadline = *self.write_deadline.get_or_insert_with(start);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return timed_out(self.send(slices, SendFlags::DONTWAIT));
            }
            self.socket.stream.set_write_timeout(Some(left))?;
            sent = self.send(slices, SendFlags::empty());
        }
        sent
    }

    /// Sends bytes. The last ones of a connection stay in the kernel until the close, which follows at once: they share a
    /// packet with its FIN (`tcp_send_fin` in `net/ipv4/tcp_output.c`), and each packet costs microseconds on both sides.
    fn send(&self, slices: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        let flags = match self.is_last_write() {
            true => flags | SendFlags::MORE,
            false => flags,
        };
        let stream = &self.socket.stream;
        match as_one(slices, |bytes| send(stream, bytes, flags)) {
            Some(sent) => Ok(sent?),
            None => {
                let flags = flags.bits().cast_signed();
                SockRef::from(stream).send_vectored_with_flags(slices, flags)
            }
        }
    }

    /// Returns whether nothing follows these bytes but the close of the connection.
    #[cfg(target_os = "linux")]
    fn is_last_write(&self) -> bool {
        self.state.is_response_complete() && (!self.state.has_turns() || self.state.closes())
    }

    fn receive(&self, buf: &mut ReadBufCursor<'_>, flags: RecvFlags) -> io::Result<usize> {
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let length = buf.remaining().min(CHUNK);
        let ((bytes, _), _) = recv(&self.socket.stream, &mut chunk[..length], flags)?;
        buf.put_slice(bytes);
        Ok(bytes.len())
    }
}

/// Returns whether a read or a write that failed may be tried again: nothing is there yet, or a signal came.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Returns the result of a last call that does not wait, after the client's time. A process that was stopped meanwhile
/// (`SIGSTOP`, a debugger, the freezer of cgroups) has not seen what the client did in time: the call in which it waited
/// was interrupted (`EINTR`, signal(7)).
fn timed_out(last: io::Result<usize>) -> io::Result<usize> {
    last.map_err(|error| match is_transient(&error) {
        true => ErrorKind::TimedOut.into(),
        false => error,
    })
}

impl Read for BlockingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state.wants_body() {
            self.poll_read_body(cx, &mut buf)
        } else if self.due == Due::Head && self.state.is_waiting() {
            self.poll_read_head(&mut buf)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl Write for BlockingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut()
            .poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.state.is_waiting() {
            return Poll::Ready(Ok(self.state.take_hyper_reply(slices)));
        }
        Poll::Ready(self.write(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_deadline = None;
        if self.state.flushed() {
            if self.state.has_turns() && !self.state.is_body_unread() {
                self.state.end_turn();
                (self.due, self.time_left) = (Due::Head, self.read_timeout);
            } else {
                self.due = Due::Nothing;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Left to `close`, which may have to send the gateway's own response first.
        Poll::Ready(Ok(()))
    }
}
