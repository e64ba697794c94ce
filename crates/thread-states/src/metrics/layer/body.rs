//! A streamed response body, measured from frame to frame.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};

use super::measured_request::MeasuredRequest;
use super::span::end_of;
use crate::accounting::Timestamp;

/// A streamed response body; the request ends with it.
pub(super) struct MeasuredBody {
    inner: Body,
    status: StatusCode,
    request: Option<MeasuredRequest>,
}

impl MeasuredBody {
    pub(super) fn new(inner: Body, request: MeasuredRequest, status: StatusCode) -> Self {
        Self {
            inner,
            status,
            request: Some(request),
        }
    }

    fn finish(&mut self, now: Timestamp) {
        if let Some(mut request) = self.request.take() {
            request.finish(self.status, now);
        }
    }
}

impl http_body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = axum_core::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum_core::Error>>> {
        let Self { inner, request, .. } = &mut *self;
        let inner = Pin::new(inner);
        let Some(request) = request else {
            return inner.poll_frame(context);
        };
        let mut frame = Poll::Pending;
        let now = request.poll(context, |context| {
            frame = inner.poll_frame(context);
            end_of(&frame)
        });
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
    /// A server need not poll for the end of the body, and the client may disconnect before it.
    fn drop(&mut self) {
        if self.request.is_some() {
            self.finish(Timestamp::now());
        }
    }
}
