//! Limit on requests in flight.

use std::task::{Context, Poll};

use axum::body::Body;
use futures_util::future::Either;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use tower::layer::layer_fn;
use tower::{Layer, Service};

use thread_states::RequestsInFlight;
use thread_states::problem::Problem;

/// Returns a layer that responds with 503 while more requests are in flight on a server than the limit, if there is one.
pub(super) fn layer<S>(
    limit: Option<(RequestsInFlight, u64)>,
) -> impl Layer<S, Service = Overload<S>> + Clone {
    layer_fn(move |inner| Overload {
        inner,
        limit: limit.clone(),
    })
}

/// Service that rejects requests beyond a limit.
#[derive(Debug, Clone)]
pub(super) struct Overload<S> {
    inner: S,
    limit: Option<(RequestsInFlight, u64)>,
}

impl<S> Service<Request<Body>> for Overload<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, std::future::Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The gateway has counted this request already.
        if let Some((requests, max)) = &mut self.limit
            && requests.count() > *max
        {
            Either::Right(std::future::ready(Ok(rejection(*max))))
        } else {
            Either::Left(self.inner.call(request))
        }
    }
}

fn rejection(max: u64) -> Response<Body> {
    let detail =
        format!("this server is at its limit of requests in flight ({max}); try again later");
    let mut response: Response<Body> =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    let fields = response.headers_mut();
    fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    // Its place is for the next client.
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
