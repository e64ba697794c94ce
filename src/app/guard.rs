//! The service around every route: it discards the request body, turns a panic into a response, and
//! gives all error responses one form.
//!
//! One service does all three, because axum boxes the future of each layer and clones the services
//! below it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use futures_util::poll;
use tower::{Service, ServiceExt};

use super::body::{self, BodyLimit};
use super::rejection;

/// The service around a route.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    pub(super) inner: S,
    pub(super) limit: BodyLimit,
}

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let handler = if request.body().is_end_stream() {
            Either::Left(self.inner.call(request))
        } else {
            // Boxed, as everything that few requests need: each waiting request has room for the largest of its futures.
            Either::Right(Box::pin(without_body(
                self.inner.clone(),
                request,
                self.limit,
            )))
        };
        Box::pin(async move {
            let (mut uri, mut handler) = (uri, pin!(AssertUnwindSafe(handler).catch_unwind()));
            let handled = match poll!(handler.as_mut()) {
                Poll::Ready(handled) => handled,
                Poll::Pending => {
                    uri = detached(&uri);
                    handler.await
                }
            };
            let response = match handled {
                Ok(response) => response?,
                Err(_) => rejection::after_panic(),
            };
            if rejection::is_foreign_error(&response) {
                return Ok(Box::pin(rejection::as_problem(&method, &uri, response)).await);
            }
            Ok(response)
        })
    }
}

/// Copies the path. The URI of a request refers to the buffer of 8 KiB into which hyper read the head, so it keeps that
/// buffer for as long as the request waits.
fn detached(uri: &Uri) -> Uri {
    Uri::try_from(uri.path()).unwrap_or_default()
}

/// Discards the request body, then calls the inner service with an empty one.
async fn without_body<S>(
    inner: S,
    request: Request,
    limit: BodyLimit,
) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    match body::discard(request, limit).await {
        Ok(request) => inner.oneshot(request).await,
        Err(problem) => Ok(problem.into_response()),
    }
}
