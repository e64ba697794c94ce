//! Predicted numbers and their measurements.

use serde::Serialize;

/// Conditions under which a number was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Name of the server.
    pub server: &'static str,
    /// `front` or `direct`.
    pub via: &'static str,
    /// Threads of the server.
    pub threads: usize,
    /// Limit of threads of the server's blocking pool, if the load uses the pool.
    pub pool_threads: Option<usize>,
    /// Wait of the requests in question.
    pub wait_seconds: f64,
    /// Requests that were sent.
    pub load: String,
}

/// A predicted number and its measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Conditions of the measurement.
    pub setting: Setting,
    /// Predicted range.
    #[serde(flatten)]
    pub prediction: Prediction,
    /// Measured value; `null` if a request failed that had to succeed.
    pub observed: f64,
    /// True if the value is within the predicted range.
    pub holds: bool,
}

/// Unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Events per second.
    PerSecond,
    /// A plain number.
    Count,
    /// Bytes.
    Bytes,
}

/// Predicted range of a number.
#[derive(Debug, Clone, Serialize)]
pub struct Prediction {
    /// Name of the number.
    pub quantity: String,
    /// Its unit.
    pub unit: Unit,
    /// Lower bound, inclusive.
    pub low: f64,
    /// Upper bound, inclusive; `null` if there is none.
    pub high: f64,
    /// Reason for the value, and for the width of the range.
    pub because: &'static str,
}

impl Prediction {
    /// Predicts a number from `low` to `high`. A negative `low` becomes 0.
    pub fn between(
        quantity: impl Into<String>,
        unit: Unit,
        low: f64,
        high: f64,
        because: &'static str,
    ) -> Self {
        Self {
            quantity: quantity.into(),
            unit,
            low: low.max(0.0),
            high,
            because,
        }
    }

    /// Predicts a number of at most `high`.
    pub fn at_most(
        quantity: impl Into<String>,
        unit: Unit,
        high: f64,
        because: &'static str,
    ) -> Self {
        Self::between(quantity, unit, 0.0, high, because)
    }

    /// Predicts a number of at least `low`.
    pub fn at_least(
        quantity: impl Into<String>,
        unit: Unit,
        low: f64,
        because: &'static str,
    ) -> Self {
        Self::between(quantity, unit, low, f64::INFINITY, because)
    }

    /// Predicts about `seconds`, with a relative tolerance of `share`, plus 0.3 s upwards for a busy machine.
    pub(in crate::experiment) fn about(
        quantity: &str,
        seconds: f64,
        share: f64,
        because: &'static str,
    ) -> Self {
        let (low, high) = (seconds * (1.0 - share), seconds * (1.0 + share) + 0.3);
        Self::between(quantity, Unit::Seconds, low, high, because)
    }
}
