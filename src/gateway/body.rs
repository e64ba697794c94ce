//! Bodies of a request and of its response, which report to the connection's state.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::connection_state::{ConnectionState, RequestGuard};
use crate::wire::{LAST_LOOK, find_cause};

/// Returns the body of a request as the app reads it. It waits for its bytes for at most `timeout` in total, or without
/// a limit.
pub(super) fn request_body(
    incoming: Incoming,
    state: &Arc<ConnectionState>,
    timeout: Option<Duration>,
) -> axum::body::Body {
    // Most requests have no body, and this one needs no allocation.
    if incoming.is_end_stream() {
        return axum::body::Body::empty();
    }
    axum::body::Body::new(ArrivingBody {
        incoming,
        state: Arc::clone(state),
        deadline: timeout.map(Deadline::new),
    })
}

/// A body that is not empty.
#[derive(Debug)]
struct ArrivingBody {
    incoming: Incoming,
    state: Arc<ConnectionState>,
    deadline: Option<Deadline>,
}

impl ArrivingBody {
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match &mut self.deadline {
            Some(deadline) => deadline.poll_passed(cx).map(|()| self.timed_out()),
            None => Poll::Pending,
        }
    }

    /// Converts hyper's error to an I/O error, with the kind of the I/O error that caused it, if any.
    fn io_error(&self, error: hyper::Error) -> io::Error {
        match find_cause::<io::Error>(&error).map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => self.timed_out(),
            kind => {
                self.state.body_failed();
                io::Error::new(kind.unwrap_or(io::ErrorKind::Other), error)
            }
        }
    }

    fn timed_out(&self) -> io::Error {
        self.state.body_failed();
        io::Error::new(
            io::ErrorKind::TimedOut,
            "the request's body did not arrive in time",
        )
    }
}

impl Drop for ArrivingBody {
    fn drop(&mut self) {
        self.state.body_dropped();
    }
}

impl Body for ArrivingBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            return self.poll_deadline(cx).map(|error| Some(Err(error)));
        };
        if let Some(deadline) = &mut self.deadline {
            deadline.pause();
        }
        if frame.is_none() || self.incoming.is_end_stream() {
            self.state.body_read();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| self.io_error(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Deadline for a body that only advances while the app waits for bytes: time that the app spends
/// between two reads does not count against the client.
#[derive(Debug)]
struct Deadline {
    left: Duration,
    /// Created at the first wait; a body that is there when the app reads it needs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// It has passed, and the timer runs for the last look at the socket.
    looks_again: bool,
}

impl Deadline {
    fn new(left: Duration) -> Self {
        Self {
            left,
            timer: None,
            waiting: false,
            looks_again: false,
        }
    }

    /// Continues to wait; ready when the time is used up and the event loop has looked at the socket once more.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
        ready!(timer.as_mut().poll(cx));
        if !std::mem::replace(&mut self.looks_again, true) {
            timer.as_mut().reset(Instant::now() + LAST_LOOK);
            return timer.as_mut().poll(cx);
        }
        Poll::Ready(())
    }

    /// Stops waiting and keeps the time that is left.
    fn pause(&mut self) {
        if let (true, Some(timer)) = (self.waiting, &self.timer) {
            self.left = timer.deadline().saturating_duration_since(Instant::now());
            self.waiting = false;
            self.looks_again = false;
        }
    }
}

pin_project! {
    /// Body of a response. hyper drops it when it has ended.
    #[derive(Debug)]
    pub(super) struct ResponseBody<B> {
        #[pin]
        pub(super) body: B,
        pub(super) guard: RequestGuard,
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
