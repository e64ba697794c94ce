//! The bodies of a request and of its response, which report to the connection's exchange.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::exchange::{Exchange, Serving};

/// The body of a request, as the app reads it.
///
/// # Errors
///
/// Its frames may be an [`io::Error`]: of the kind [`io::ErrorKind::TimedOut`] when the client did
/// not send it within [`Limits::read_timeout`](super::Limits::read_timeout), of other kinds when it
/// is malformed or the client went away.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    exchange: Arc<Exchange>,
    patience: Option<Patience>,
}

impl RequestBody {
    /// A body that waits for its bytes for `patience` in all, or, if there is none, as long as
    /// `incoming` does.
    pub(super) fn new(
        incoming: Incoming,
        exchange: &Arc<Exchange>,
        patience: Option<Duration>,
    ) -> Self {
        Self {
            incoming,
            exchange: Arc::clone(exchange),
            patience: patience.map(Patience::new),
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match &mut self.patience {
            Some(patience) => patience.poll_exhausted(cx).map(|()| self.late()),
            None => Poll::Pending,
        }
    }

    /// hyper's error as the I/O error that caused it, if one did.
    fn explain(&self, error: hyper::Error) -> io::Error {
        match cause(&error) {
            Some(io::ErrorKind::TimedOut) => self.late(),
            Some(kind) => io::Error::new(kind, error),
            None => io::Error::other(error),
        }
    }

    fn late(&self) -> io::Error {
        self.exchange.body_late();
        io::Error::new(
            io::ErrorKind::TimedOut,
            "the request's body did not arrive in time",
        )
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            return this.poll_patience(cx).map(|late| Some(Err(late)));
        };
        if let Some(patience) = &mut this.patience {
            patience.pause();
        }
        if frame.is_none() || this.incoming.is_end_stream() {
            this.exchange.body_read();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| this.explain(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.exchange.body_dropped();
    }
}

/// The kind of the I/O error that caused this one.
fn cause(error: &hyper::Error) -> Option<io::ErrorKind> {
    std::iter::successors(error.source(), |&cause| cause.source())
        .find_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)
}

/// A span of waiting that is spent only while somebody waits.
#[derive(Debug)]
struct Patience {
    left: Duration,
    /// Set from the first wait on; bodies that are there when they are asked for need no timer.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patience {
    fn new(left: Duration) -> Self {
        Self {
            left,
            timer: None,
            waiting: false,
        }
    }

    /// Goes on waiting; ready when the span is used up.
    fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = || Instant::now() + self.left;
        let timer = match &mut self.timer {
            Some(timer) => {
                if !self.waiting {
                    timer.as_mut().reset(deadline());
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline()))),
        };
        self.waiting = true;
        timer.as_mut().poll(cx)
    }

    /// Stops waiting and keeps what is left.
    fn pause(&mut self) {
        if let (true, Some(timer)) = (self.waiting, &self.timer) {
            self.left = timer.deadline().saturating_duration_since(Instant::now());
            self.waiting = false;
        }
    }
}

pin_project! {
    /// The body of a response. hyper drops it when it has ended.
    #[derive(Debug)]
    pub(super) struct ResponseBody<B> {
        #[pin]
        pub(super) body: B,
        pub(super) serving: Serving,
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
