//! A blocking socket as hyper reads and writes it: a poll is a system call that waits.

use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use rustix::net::{RecvFlags, recv};

use super::super::Limits;
use super::super::exchange::Exchange;

/// How long a connection may hold its thread after its answer, so that a client that still sends
/// gets to read it.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of one read, at most.
const CHUNK: usize = 16 * 1024;

/// What the client is to send next.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Head,
    Body,
    /// Its one request is answered.
    Nothing,
}

/// One connection's blocking socket.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    exchange: Arc<Exchange>,
    read_timeout: Duration,
    /// How much longer to wait for the client: first for its head, then for its body.
    patience: Duration,
    due: Due,
    /// Whether the app had its turn since the last bytes of the body, so that a read may block.
    yielded: bool,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, exchange: Arc<Exchange>, limits: Limits) -> Self {
        Self {
            socket,
            exchange,
            read_timeout: limits.read_timeout,
            patience: limits.read_timeout,
            due: Due::Head,
            yielded: false,
        }
    }

    /// Ends the connection, with the gateway's own answer if it owes one.
    pub(super) fn finish(mut self, refusal: Option<String>, unread: bool) {
        let unread = unread || refusal.is_some() || self.has_bytes();
        if let Some(refusal) = refusal
            && self.socket.write_all(refusal.as_bytes()).is_err()
        {
            return;
        }
        // To close a socket with unread bytes resets the connection, and the reset may overtake the
        // answer.
        if unread {
            self.linger();
        }
    }

    /// Whether bytes have come that nobody has read.
    fn has_bytes(&self) -> bool {
        let mut byte = [0];
        let peek = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        matches!(recv(&self.socket, &mut byte, peek), Ok((_, 1..)))
    }

    /// Tells the client that no more comes, and discards what it sends until it has heard that.
    fn linger(&mut self) {
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        self.patience = LINGER;
        let mut rest = [MaybeUninit::uninit(); CHUNK];
        while matches!(
            self.wait(&mut ReadBuf::uninit(&mut rest).unfilled()),
            Ok(1..)
        ) {}
    }

    /// Reads the head: waits for it.
    fn read_head(&mut self, buf: &mut ReadBufCursor<'_>) -> io::Result<()> {
        match self.wait(buf) {
            Ok(0) => {}
            Ok(_) => {
                self.exchange.head_began();
            }
            Err(error) => {
                if error.kind() == ErrorKind::TimedOut {
                    self.exchange.head_late();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads the body: what is there; or else lets the app and hyper's writes have a turn (without
    /// the `100 Continue` among them no body may come) and waits the next time.
    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.due == Due::Head {
            self.due = Due::Body;
            self.patience = self.read_timeout;
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

    /// Waits for bytes as long as there is patience left.
    fn wait(&mut self, buf: &mut ReadBufCursor<'_>) -> io::Result<usize> {
        while !self.patience.is_zero() {
            self.socket.set_read_timeout(Some(self.patience))?;
            let start = Instant::now();
            let read = self.receive(buf, RecvFlags::empty());
            self.patience = self.patience.saturating_sub(start.elapsed());
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                read => return read,
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    fn receive(&self, buf: &mut ReadBufCursor<'_>, flags: RecvFlags) -> io::Result<usize> {
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let length = buf.remaining().min(CHUNK);
        let ((bytes, _), _) = recv(&self.socket, &mut chunk[..length], flags)?;
        buf.put_slice(bytes);
        Ok(bytes.len())
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.exchange.wants_body() {
            self.poll_read_body(cx, &mut buf)
        } else if self.due == Due::Head && self.exchange.is_waiting() {
            Poll::Ready(self.read_head(&mut buf))
        } else {
            // To hyper an early end: it reads no more, answers, and is done.
            Poll::Ready(Ok(()))
        }
    }
}

impl Write for Stream {
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
        if self.exchange.is_waiting() {
            return Poll::Ready(Ok(self.exchange.refuse_as(slices)));
        }
        Poll::Ready(loop {
            match self.socket.write_vectored(slices) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The socket's own timeout, which it inherited from the listening one.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    break Err(ErrorKind::TimedOut.into());
                }
                written => break written,
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exchange.flushed() {
            self.due = Due::Nothing;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // That is for `finish` to do.
        Poll::Ready(Ok(()))
    }
}
