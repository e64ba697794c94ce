//! The framework layer: one `Router` under both gateways, as one WSGI or ASGI application is
//! under any server. It knows nothing about threads, sockets or metrics.
//!
//! * `endpoints`: the handlers, each another way of spending a while
//! * `seconds`: their one parameter
//! * `cpu`: what `/cpu` computes
//! * `docs`: the OpenAPI document and its pages
//! * `guard`: what is the same for every route
//! * `body`: what becomes of a request's body
//! * `refusal`: every error answer

mod body;
mod cpu;
mod docs;
mod endpoints;
mod guard;
mod problem_schema;
mod refusal;
mod seconds;

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::Route;
use tower::layer::layer_fn;
use tower::layer::util::Identity;
use tower::{Layer, Service};

pub use guard::Guard;
pub use seconds::{MAX_SECONDS, Seconds, SecondsError};

/// Every route pattern of [`router`], as axum's `MatchedPath` tells it: so that a metric with
/// the route as its label can have all its series from the start.
pub const ROUTES: &[&str] = &[
    "/",
    "/dummy",
    "/blocking",
    "/offloaded",
    "/cpu",
    docs::OPENAPI,
    docs::DOCS,
    docs::PAGE,
    docs::FILE,
];

/// What the app accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request body in bytes; a longer one is answered with 413. Default 1 MiB.
    pub max_body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body: 1 << 20 }
    }
}

/// The application. Its answers are JSON; its error answers have the one shape of
/// [`Problem`](thread_states::problem::Problem).
pub fn router(limits: Limits) -> Router {
    router_within(limits, Identity::new())
}

/// The application within `layers`, which see the route that was matched. The same as
/// [`Router::layer`] would make of it, but cheaper by one box for each of a request's service,
/// future and answer.
pub fn router_within<L>(limits: Limits, layers: L) -> Router
where
    L: Layer<Guard<Route>> + Clone + Send + Sync + 'static,
    L::Service: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Response: IntoResponse + 'static,
    <L::Service as Service<Request>>::Future: Send + 'static,
{
    let (endpoints, api) = endpoints::router().split_for_parts();
    let guard = layer_fn(move |inner| Guard { inner, limits });
    endpoints.merge(docs::router(api)).layer((layers, guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_the_openapi_document_and_its_pages() {
        let api = endpoints::router().into_openapi();
        let mut expected: Vec<&str> = api.paths.paths.keys().map(String::as_str).collect();
        expected.extend([docs::OPENAPI, docs::DOCS, docs::PAGE, docs::FILE]);
        expected.sort_unstable();
        let mut routes = ROUTES.to_vec();
        routes.sort_unstable();
        assert_eq!(routes, expected);
    }
}
