//! A request and its outcome.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::client::{FullResponse, RequestError};

/// A request that was sent, with or without a response.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Scheduled send time.
    ///
    /// Latencies count from here and not from the actual send time: a generator that is held up by a slow
    /// server must not hide that (*coordinated omission*).
    pub(super) intended: Instant,
    /// Response, or the reason why there is none.
    pub(super) result: Result<FullResponse, RequestError>,
    ended: Instant,
}

impl Attempt {
    /// Returns an attempt that ended with its response, or now if there is none.
    pub(super) fn new(intended: Instant, result: Result<FullResponse, RequestError>) -> Self {
        let ended = result
            .as_ref()
            .map_or_else(|_| Instant::now(), |response| response.ended);
        Self {
            intended,
            result,
            ended,
        }
    }

    /// Returns the time from the scheduled send time to the end of the response, or to the failure.
    #[must_use]
    pub(super) fn latency(&self) -> Duration {
        self.ended.saturating_duration_since(self.intended)
    }

    /// Returns true if there is a response with status 200.
    #[must_use]
    pub(super) fn succeeded(&self) -> bool {
        self.result
            .as_ref()
            .is_ok_and(|response| response.status == StatusCode::OK)
    }

    /// Returns the latency in seconds; infinite, which no prediction allows, if it failed.
    #[must_use]
    pub(super) fn seconds(&self) -> f64 {
        if self.succeeded() {
            self.latency().as_secs_f64()
        } else {
            f64::INFINITY
        }
    }
}
