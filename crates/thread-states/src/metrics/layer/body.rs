//! A streamed answer, measured from frame to frame.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};

use super::Exchange;
use crate::accounting;

/// A streamed answer; the request ends with it.
pub(super) struct MeasuredBody {
    inner: Body,
    status: StatusCode,
    exchange: Option<Exchange>,
}

impl MeasuredBody {
    pub(super) fn new(inner: Body, exchange: Exchange, status: StatusCode) -> Self {
        Self {
            inner,
            status,
            exchange: Some(exchange),
        }
    }

    fn finish(&mut self, now: u64) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish(self.status, now);
        }
    }
}

impl http_body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self {
            inner, exchange, ..
        } = &mut *self;
        let mut poll = || Pin::new(&mut *inner).poll_frame(context);
        let (frame, now) = match exchange {
            Some(exchange) => exchange.poll(poll),
            None => return poll(),
        };
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.finish(now);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for MeasuredBody {
    /// An answer may end without its last frame being asked for, or because the client left.
    fn drop(&mut self) {
        if self.exchange.is_some() {
            self.finish(accounting::now());
        }
    }
}
