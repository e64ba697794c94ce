//! The handler's future, measured from poll to poll.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use axum_core::BoxError;
use axum_core::body::Body;
use bytes::Bytes;
use http::{HeaderName, Response, StatusCode};
use http_body::Body as _;
use pin_project_lite::pin_project;

use super::body::MeasuredBody;
use super::measured_request::MeasuredRequest;
use super::server_timing;
use super::span::end_of;
use crate::accounting::Timestamp;
use crate::status::client_closed_request;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pin_project! {
    /// Future of [`RequestService`](super::RequestService).
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        request: Option<MeasuredRequest>,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(request) = this.project().request {
                request.finish(status_without_response(), Timestamp::now());
            }
        }
    }
}

/// Status of a request that was dropped before its response: the handler panicked, or the client
/// disconnected, for which nginx has the status 499.
fn status_without_response() -> StatusCode {
    if thread::panicking() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    client_closed_request()
}

impl<F> ResponseFuture<F> {
    /// Without `request`, the future is not measured.
    pub(super) fn new(inner: F, request: Option<MeasuredRequest>) -> Self {
        Self { inner, request }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(request) = this.request else {
            return this
                .inner
                .poll(context)
                .map_ok(|response| response.map(Body::new));
        };
        let mut response = Poll::Pending;
        let now = request.poll(context, |context| {
            response = this.inner.poll(context);
            end_of(&response)
        });
        let mut response = match ready!(response) {
            // axum's own bodies are not boxed again.
            Ok(response) => response.map(Body::new),
            Err(error) => {
                request.finish(StatusCode::INTERNAL_SERVER_ERROR, now);
                *this.request = None;
                return Poll::Ready(Err(error));
            }
        };
        // A response body in memory needs no more work of the handler.
        let in_memory = response.body().size_hint().exact().is_some();
        if in_memory {
            request.end(now);
        }

        let spent = request.spent(now);
        if let Some(value) = spent.and_then(|spent| server_timing::header(&spent)) {
            // Beside the entries that the handler itself has added.
            response.headers_mut().append(SERVER_TIMING, value);
        }
        let status = response.status();
        if in_memory {
            // In its place, where it need not be moved.
            request.finish(status, now);
            *this.request = None;
        } else if let Some(request) = this.request.take() {
            response = response.map(|body| Body::new(MeasuredBody::new(body, request, status)));
        }
        Poll::Ready(Ok(response))
    }
}
