//! What is the same for every route: the request's body is discarded, a panic becomes an answer,
//! and refusals get their one shape.
//!
//! One service does all three, because axum boxes each layer's future and clones what is below it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use tower::{Service, ServiceExt};

use super::{Limits, body, refusal};

/// The service around every route.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    pub(super) inner: S,
    pub(super) limits: Limits,
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
        let answer = if request.body().is_end_stream() {
            Either::Left(self.inner.call(request))
        } else {
            Either::Right(without_body(self.inner.clone(), request, self.limits))
        };
        Box::pin(async move {
            let response = match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(response) => response?,
                Err(_) => refusal::after_panic(),
            };
            Ok(refusal::in_one_shape(&method, &uri, response).await)
        })
    }
}

/// Reads the request's body to its end and drops it, then lets the request go on without.
async fn without_body<S>(inner: S, request: Request, limits: Limits) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    match body::discard(request, limits).await {
        Ok(request) => inner.oneshot(request).await,
        Err(problem) => Ok(problem.into_response()),
    }
}
