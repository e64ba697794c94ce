//! The application: one service that both gateways serve, as any server serves a WSGI or ASGI
//! application. It knows nothing about threads, sockets or metrics.
//!
//! * `endpoints`: the handlers, each with another way to wait or work
//! * `completed`: their response
//! * `queries`: the handlers that wait for a database
//! * `seconds`: the duration of a request; `slots`: the number of queries that the database runs at the same time;
//!   `parameter`: parameters with at most one value
//! * `cpu`: the computation of `/cpu`
//! * `docs`: the OpenAPI document and its pages
//! * `guard`: the service around the routes
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

use axum::Router;

use crate::database::Database;

pub use body::BodyLimit;
pub use guard::Guard;
pub use parameter::ParameterError;
pub use seconds::{MAX_SECONDS, Seconds};

/// Route patterns of the [`service`]. With them a metric with a route label has all its series from the start.
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

/// Returns the pattern of the route that serves a path: one of [`ROUTES`].
///
/// For layers around the app, which do not see axum's `MatchedPath`.
#[must_use]
pub fn route(path: &str) -> Option<&str> {
    let file = || path.strip_prefix(docs::PAGE).map(|_| docs::FILE);
    let fixed = ROUTES.iter().find(|route| **route == path);
    fixed.copied().or_else(file)
}

/// Returns the application. Its responses are JSON; all error responses are a
/// [`Problem`](thread_states::problem::Problem). Without `database`, the endpoints below `/database` respond with 501.
#[must_use]
pub fn service(limit: BodyLimit, database: Option<Database>) -> Guard<Router> {
    let inner = router(database);
    Guard { inner, limit }
}

/// Returns the routes of the [`service`], which reads request bodies for them, and gives errors that are not their own
/// the form of a problem.
pub fn router(database: Option<Database>) -> Router {
    let (endpoints, api) = endpoints::router(database).split_for_parts();
    endpoints
        .merge(docs::router(api))
        .fallback(rejection::not_found)
        .method_not_allowed_fallback(rejection::method_not_allowed)
        // It joins handlers and layers here; otherwise axum would do it for every request.
        .with_state(())
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
