//! The routes `/metrics` and `/healthz`.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use prometheus::TEXT_FORMAT;

use crate::metrics::exposition::Exposition;
use crate::problem::Problem;

/// Returns the routes of the metrics port: `/metrics` (Prometheus' text format, version 0.0.4) and
/// `/healthz`, which responds with 200 as long as the process is alive. Other paths get a 404.
///
/// The metrics are an [`Exposition`], or a [`prometheus::Registry`].
pub fn routes(metrics: impl Into<Exposition>) -> Router {
    let metrics = metrics.into();
    Router::new()
        .route("/metrics", get(move || async move { respond(&metrics) }))
        .route("/healthz", get(async || "alive\n"))
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "no such page on the metrics port")
                .into_response::<axum::body::Body>()
        })
}

fn respond(metrics: &Exposition) -> Response {
    match metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
