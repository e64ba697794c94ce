//! The readiness check, `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;

use crate::problem::Problem;

/// Flag that `/readyz` reports. Default: not ready. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets the flag.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Returns the route `/readyz`, to be merged with [`routes`](super::routes): 200 while ready,
/// otherwise 503.
pub fn readiness_route(readiness: Readiness) -> Router {
    Router::new().route("/readyz", get(move || async move { respond(&readiness) }))
}

fn respond(readiness: &Readiness) -> Response {
    if readiness.get() {
        "accepting\n".into_response()
    } else {
        let detail = "not accepting connections";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
    }
}
