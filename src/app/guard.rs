//! The service around the routes: it discards the request body, turns a panic into a response, and
//! gives all error responses one form.
//!
//! It is around the router and not a layer within it: axum clones and boxes the layers of a router, and boxes
//! their futures, for each request.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::response::Response;
use futures_util::future::{BoxFuture, Either};
use pin_project_lite::pin_project;
use tower::{Service, ServiceExt};

use super::body::{self, BodyLimit};
use super::rejection;

/// The service around the routes.
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
    type Future = GuardFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, request: Request) -> Self::Future {
        let handler = if request.body().is_end_stream() {
            Either::Left(self.inner.call(request))
        } else {
            let handler = without_body(self.inner.clone(), request, self.limit);
            Either::Right(Box::pin(handler) as BoxFuture<'static, _>)
        };
        GuardFuture {
            handler,
            problem: None,
        }
    }
}

pin_project! {
    /// Future of [`Guard`].
    ///
    /// Parts that few requests need are boxed, because each waiting request has room for the largest of its futures.
    pub struct GuardFuture<F> {
        #[pin]
        handler: Either<F, BoxFuture<'static, Result<Response, Infallible>>>,
        // Reads the text of a foreign error.
        problem: Option<BoxFuture<'static, Response>>,
    }
}

impl<F> Future for GuardFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let problem = match this.problem {
            Some(problem) => problem,
            none => {
                // A handler that panicked is not polled again.
                let poll = AssertUnwindSafe(|| this.handler.poll(context));
                let response = match catch_unwind(poll) {
                    Ok(polled) => ready!(polled)?,
                    Err(_) => rejection::after_panic(),
                };
                if !rejection::is_foreign_error(&response) {
                    return Poll::Ready(Ok(response));
                }
                none.insert(Box::pin(rejection::as_problem(response)))
            }
        };
        problem.as_mut().poll(context).map(Ok)
    }
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
