//! The handler's future, measured from poll to poll.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use axum::body::Body;
use http::{HeaderName, Response, StatusCode};
use http_body::Body as _;
use pin_project_lite::pin_project;

use super::body::MeasuredBody;
use super::{Exchange, timing};
use crate::accounting;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pin_project! {
    /// The future of [`super::RequestService`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(exchange) = this.project().exchange.take() {
                exchange.finish(status_without_answer(), accounting::now());
            }
        }
    }
}

/// Under which status a request counts that was dropped before its answer: the handler panicked, or
/// the client went away, for which nginx has the status 499.
fn status_without_answer() -> StatusCode {
    if thread::panicking() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, exchange: Exchange) -> Self {
        Self {
            inner,
            exchange: Some(exchange),
        }
    }
}

impl<F, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(exchange) = this.exchange else {
            return this.inner.poll(context);
        };
        let (response, now) = exchange.poll(|| this.inner.poll(context));
        let mut response = ready!(response)?;
        // An answer in memory takes no more work.
        let in_memory = response.body().size_hint().exact().is_some();
        if in_memory {
            exchange.end(now);
        }

        // A thread that is not registered could only tell zeroes.
        if exchange.measures.server_timing && accounting::index().is_some() {
            let (held, awaited) = exchange.span.so_far(now);
            if let Some(value) = timing::header(exchange.queued, &held, awaited) {
                response.headers_mut().insert(SERVER_TIMING, value);
            }
        }
        let Some(exchange) = this.exchange.take() else {
            return Poll::Ready(Ok(response));
        };
        if in_memory {
            exchange.finish(response.status(), now);
            return Poll::Ready(Ok(response));
        }
        let status = response.status();
        Poll::Ready(Ok(
            response.map(|body| Body::new(MeasuredBody::new(body, exchange, status)))
        ))
    }
}
