//! The routes `/metrics` and `/healthz`.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::problem::Problem;

/// Returns the routes of the metrics port: `/metrics` (Prometheus' text format, version 0.0.4) and
/// `/healthz`, which responds with 200 as long as the process is alive. Other paths get a 404.
pub fn routes(registry: Registry) -> Router {
    Router::new()
        .route("/metrics", get(move || async move { metrics(&registry) }))
        .route("/healthz", get(async || "alive\n"))
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "no such page on the metrics port")
                .into_response::<axum::body::Body>()
        })
}

fn metrics(registry: &Registry) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => ([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
