//! The handler's future, measured from poll to poll.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use http::{HeaderName, Response, StatusCode};
use http_body::Body as _;
use pin_project_lite::pin_project;

use super::body::MeasuredBody;
use super::{Exchange, timing};

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
                exchange.finish(client_closed_request());
            }
        }
    }
}

/// The client went away before the answer: nginx's status for it, 499. It is only ever counted.
fn client_closed_request() -> StatusCode {
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
        let mut response = ready!(exchange.poll(|| this.inner.poll(context)))?;

        if exchange.measures.server_timing {
            let (held, awaited) = exchange.span.so_far();
            if let Some(value) = timing::header(exchange.queued, &held, awaited) {
                response.headers_mut().insert(SERVER_TIMING, value);
            }
        }
        let Some(exchange) = this.exchange.take() else {
            return Poll::Ready(Ok(response));
        };
        if response.body().size_hint().exact().is_some() {
            // An answer in memory takes no more work.
            exchange.finish(response.status());
            return Poll::Ready(Ok(response));
        }
        let status = response.status();
        Poll::Ready(Ok(
            response.map(|body| Body::new(MeasuredBody::new(body, exchange, status)))
        ))
    }
}
