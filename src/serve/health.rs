//! Responses to the probes of a front.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::IntoResponse;
use futures_util::future::Either;
use http::{Request, Response};
use tower::layer::layer_fn;
use tower::{Layer, Service};

/// Path at which a server responds to the probes of a front.
const HEALTH: &str = "/healthz";

/// Returns a layer that responds to the probes of a front itself. Layers within it do not see them.
pub(super) fn layer<S>() -> impl Layer<S, Service = Health<S>> + Clone {
    layer_fn(|inner| Health { inner })
}

/// Service that responds to the probes of a front.
#[derive(Debug, Clone)]
pub(super) struct Health<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Health<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() == HEALTH {
            Either::Right(ready(Ok("ok\n".into_response())))
        } else {
            Either::Left(self.inner.call(request))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn only_probes_get_a_response_without_the_app() {
        let app = |request: Request<Body>| ready(Ok::<_, ()>(Response::new(request.into_body())));
        let body = |path: &str| {
            let service = layer().layer(tower::service_fn(app));
            let request = Request::post(path).body(Body::from("from the app"));
            let response = service.oneshot(request.unwrap()).now_or_never().unwrap();
            let body = axum::body::to_bytes(response.unwrap().into_body(), 100);
            body.now_or_never().unwrap().unwrap()
        };
        for path in ["/healthz", "/healthz?x=1"] {
            assert_eq!(body(path), "ok\n", "{path}");
        }
        for path in ["/", "/healthz/", "/health"] {
            assert_eq!(body(path), "from the app", "{path}");
        }
    }
}
