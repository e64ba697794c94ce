//! The application: one `Router` that both gateways serve, as any server serves a WSGI or ASGI
//! application. It knows nothing about threads, sockets or metrics.
//!
//! * `endpoints`: the handlers, each with another way to wait or work
//! * `completed`: their response
//! * `queries`: the handlers that wait for a database
//! * `seconds`: the duration of a request; `slots`: the number of queries that the database runs at the same time;
//!   `parameter`: parameters with at most one value
//! * `cpu`: the computation of `/cpu`
//! * `docs`: the OpenAPI document and its pages
//! * `guard`: the service around every route
//! * `body`: discards request bodies
//! * `rejection`: the common form of all error responses

mod body;
mod completed;
mod cpu;
mod docs;
mod endpoints;
mod guard;
mod parameter;
mod problem_schema;
mod queries;
mod rejection;
mod seconds;
mod slots;

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::Route;
use tower::layer::layer_fn;
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::database::Database;

pub use body::BodyLimit;
pub use guard::Guard;
pub use parameter::ParameterError;
pub use seconds::{MAX_SECONDS, Seconds};

/// Route patterns of [`router`] in the form of axum's `MatchedPath`. With them a metric with a route
/// label has all its series from the start.
pub const ROUTES: &[&str] = &[
    "/",
    "/dummy",
    "/blocking",
    "/offloaded",
    "/cpu",
    "/database/synchronous",
    "/database/offloaded",
    "/database/asynchronous",
    docs::OPENAPI,
    docs::DOCS,
    docs::PAGE,
    docs::FILE,
];

/// Returns the application. Its responses are JSON; all error responses are a
/// [`Problem`](thread_states::problem::Problem). It has no database.
pub fn router(limit: BodyLimit) -> Router {
    router_within(limit, None, Identity::new())
}

/// Returns the application within `layers`, which see the matched route. Without `database`, the endpoints below
/// `/database` respond with 501.
///
/// [`Router::layer`] has the same effect, but would box each request's service, future and response
/// once more.
pub fn router_within<L>(limit: BodyLimit, database: Option<Database>, layers: L) -> Router
where
    L: Layer<Guard<Route>> + Clone + Send + Sync + 'static,
    L::Service: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Response: IntoResponse + 'static,
    <L::Service as Service<Request>>::Future: Send + 'static,
{
    let (endpoints, api) = endpoints::router(database).split_for_parts();
    let guard = layer_fn(move |inner| Guard { inner, limit });
    endpoints
        .merge(docs::router(api))
        .fallback(rejection::not_found)
        .method_not_allowed_fallback(rejection::method_not_allowed)
        .layer((layers, guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_in_the_openapi_document_and_its_pages() {
        let api = endpoints::router(None).into_openapi();
        let mut expected: Vec<&str> = api.paths.paths.keys().map(String::as_str).collect();
        expected.extend([docs::OPENAPI, docs::DOCS, docs::PAGE, docs::FILE]);
        expected.sort_unstable();
        let mut routes = ROUTES.to_vec();
        routes.sort_unstable();
        assert_eq!(routes, expected);
    }
}
