//! The metrics port of an axum router.

use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::routing::get;
use http::Version;

use super::connections::ConnectionLimits;
use super::pages::{self, Pages};
use super::request_rules::RequestRules;
use super::running::Exporter;
use super::server;
use crate::metrics::exposition::Exposition;

/// Returns the routes of the metrics port: `/metrics` (Prometheus' text format, version 0.0.4) and
/// `/healthz`, which responds with 200 as long as the process is alive. Other paths get a 404.
///
/// The metrics are an [`Exposition`], or with the feature `prometheus` a registry of that crate.
pub fn routes(metrics: impl Into<Exposition>) -> Router {
    let pages = Pages::new(metrics.into());
    Router::new()
        .route(
            "/metrics",
            get(async move |version: Version| pages.metrics(version)),
        )
        .route("/healthz", get(async || pages::health()))
        .fallback(async || pages::not_found())
}

/// Serves `routes` on an OS thread named `exporter`, until [`Exporter::stop`] or the end of the process.
///
/// Requests that a browser sends for a page of another origin get a 403.
///
/// # Errors
///
/// Returns an error if the listener cannot be made non-blocking, or the runtime or its thread cannot
/// be started.
pub fn spawn(listener: TcpListener, routes: Router) -> io::Result<Exporter> {
    start(listener, routes, RequestRules::default())
}

/// Like [`spawn`], and rejects requests to a name with a dot that is not among `names` with a 421. So a
/// page cannot read the metrics by a name of its own that resolves to this server (DNS rebinding).
///
/// Without the check, any name is allowed, because a library does not know the names of its host.
///
/// # Errors
///
/// As [`spawn`].
pub fn spawn_for_names(
    listener: TcpListener,
    routes: Router,
    names: impl IntoIterator<Item = String>,
) -> io::Result<Exporter> {
    start(listener, routes, RequestRules::of_names(names))
}

fn start(listener: TcpListener, routes: Router, rules: RequestRules) -> io::Result<Exporter> {
    let routes = routes.method_not_allowed_fallback(async || pages::method_not_allowed());
    server::start(listener, routes, rules, ConnectionLimits::default())
}
