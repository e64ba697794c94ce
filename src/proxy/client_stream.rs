//! The client's socket under hyper, with three habits that hyper leaves to it: a refusal has a JSON
//! body, a client that takes nothing is given up, and a close waits for a client that still sends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::bare_refusal;

/// How long a close waits for a client that still sends. Were it closed at once, the kernel would
/// answer what comes with a reset, and the client might lose the answer that it has not read yet.
const LINGER: Duration = Duration::from_secs(5);

/// Says whether the client may still be sending when its connection is closed.
#[derive(Debug, Clone, Default)]
pub(super) struct Lingering(Arc<AtomicBool>);

impl Lingering {
    pub(super) fn set(&self, lingering: bool) {
        self.0.store(lingering, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The client's socket.
#[derive(Debug)]
pub(super) struct ClientStream {
    socket: TcpStream,
    /// How long the client may take nothing of what is sent to it.
    patience: Duration,
    /// Runs while the client takes nothing, and while a close lingers.
    timer: Option<Pin<Box<Sleep>>>,
    /// What is left to send in the place of hyper's own refusal.
    refusal: Bytes,
    lingering: Lingering,
    write_closed: bool,
}

impl ClientStream {
    pub(super) fn new(socket: TcpStream, patience: Duration) -> (Self, Lingering) {
        let lingering = Lingering::default();
        let stream = Self {
            socket,
            patience,
            timer: None,
            refusal: Bytes::new(),
            lingering: lingering.clone(),
            write_closed: false,
        };
        (stream, lingering)
    }

    /// Writes, and fails when the client took nothing for too long.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if sent.is_ready() {
            self.timer = None;
            return sent;
        }
        ready!(self.poll_timer(cx, self.patience));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready when `after` has passed since the timer was first asked.
    fn poll_timer(&mut self, cx: &mut Context<'_>, after: Duration) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(after)));
        timer.as_mut().poll(cx)
    }

    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let refusal = self.refusal.clone();
            let sent = ready!(self.poll_send(cx, &refusal))?;
            self.refusal.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and forgets what the client sends, until it closes or has had its time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 8 * 1024];
        while self.poll_timer(cx, LINGER).is_pending() {
            let mut read = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(())
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
        if let Some(refusal) = bare_refusal::dressed(bytes) {
            self.refusal = refusal;
            self.lingering.set(true);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_send(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refuse(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.write_closed {
            ready!(self.poll_refuse(cx))?;
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.write_closed = true;
            self.timer = None;
        }
        if self.lingering.get() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
