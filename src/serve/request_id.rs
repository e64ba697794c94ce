//! Request IDs: a response has that of its request, which the front or the client chose.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::layer::layer_fn;
use tower::{Layer, Service};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns a layer that copies the `X-Request-ID` of a request to its response, unless that has one.
///
/// tower-http's layer does it too, but keeps the value as it was received. That refers to the buffer of 8 KiB into which
/// hyper read the head, and keeps the buffer for as long as the request waits.
pub(super) fn layer<S>() -> impl Layer<S, Service = RequestId<S>> + Clone {
    layer_fn(|inner| RequestId { inner })
}

/// Service whose responses have the ID of their request.
#[derive(Debug, Clone)]
pub(super) struct RequestId<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for RequestId<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        RequestIdFuture {
            id: copied_id(request.headers()),
            inner: self.inner.call(request),
        }
    }
}

/// Returns a copy of the first request ID. To look at each of a request's few fields takes less time than to hash the name.
fn copied_id(fields: &HeaderMap) -> Option<HeaderValue> {
    let (_, id) = fields.iter().find(|(name, _)| *name == X_REQUEST_ID)?;
    HeaderValue::from_bytes(id.as_bytes()).ok()
}

pin_project! {
    /// Future of [`RequestId`].
    pub(super) struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        id: Option<HeaderValue>,
    }
}

impl<F, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(context))?;
        if let Some(id) = this.id.take() {
            response.headers_mut().entry(X_REQUEST_ID).or_insert(id);
        }
        Poll::Ready(Ok(response))
    }
}
