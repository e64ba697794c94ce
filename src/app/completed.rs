//! Response of the endpoints that succeeded.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::seconds::Seconds;

/// Response of an endpoint that succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Completed {
    /// The action of the handler.
    #[schema(example = "awaited a timer")]
    pub(super) message: &'static str,
    /// Its duration, as requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20.0, nullable = false)]
    pub(super) seconds: Option<f64>,
}

impl Completed {
    pub(super) fn after(seconds: Seconds, message: &'static str) -> Json<Self> {
        Json(Self {
            message,
            seconds: Some(seconds.get().as_secs_f64()),
        })
    }
}
