//! Data of the drawings and tables of a report.

use serde::Serialize;

use super::finding::Unit;
use crate::experiment::scrape::StateSeconds;

/// Requests to one server over time, and the states of its threads meanwhile.
#[derive(Debug, Clone, Serialize)]
pub struct Timeline {
    /// Name of the server.
    pub server: &'static str,
    /// Length of the timeline.
    pub seconds: f64,
    /// Requests in the order in which they were sent.
    pub requests: Vec<RequestBar>,
    /// Thread states in consecutive slices of time.
    pub threads: Vec<StateSlice>,
}

/// A request of a [`Timeline`].
#[derive(Debug, Clone, Serialize)]
pub struct RequestBar {
    /// Path.
    pub path: String,
    /// Send time, counted from the start of the timeline.
    pub at_seconds: f64,
    /// Latency as the client measured it; `null` if the request failed.
    pub latency_seconds: f64,
    /// Time spent waiting for a thread.
    pub queued_seconds: f64,
    /// Time holding a thread.
    pub held_seconds: f64,
    /// Time waiting without holding a thread.
    pub awaited_seconds: f64,
}

impl RequestBar {
    /// Returns true if the response said how the time was spent (`Server-Timing`).
    pub(in crate::experiment) fn is_timed(&self) -> bool {
        self.queued_seconds + self.held_seconds + self.awaited_seconds > 0.0
    }
}

/// Dominant thread state from the end of the previous slice to `until_seconds`.
#[derive(Debug, Clone, Serialize)]
pub struct StateSlice {
    /// End, counted from the start of the timeline.
    pub until_seconds: f64,
    /// State in which the threads spent most of the time.
    pub state: &'static str,
}

impl StateSlice {
    /// Appends the slice that ends at `until_seconds`. `spent` is what the threads did during it. If that is the same as
    /// in the last slice, extends the last one.
    pub(in crate::experiment) fn append(
        slices: &mut Vec<Self>,
        until_seconds: f64,
        spent: &StateSeconds,
    ) {
        let state = spent.dominant();
        match slices.last_mut() {
            Some(last) if last.state == state => last.until_seconds = until_seconds,
            _ => slices.push(Self {
                until_seconds,
                state,
            }),
        }
    }
}

/// Numbers in rows and columns.
#[derive(Debug, Clone, Serialize)]
pub struct DataTable {
    /// Title.
    pub title: String,
    /// Source of the formula in it.
    pub source: &'static str,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows with one number per column; `null` if there is none.
    pub rows: Vec<Vec<f64>>,
}

/// Column of a [`DataTable`].
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// Unit of its numbers.
    pub unit: Unit,
}

impl Column {
    /// Returns a column.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self {
            name: name.into(),
            unit,
        }
    }
}

/// Latency distribution of one load.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// Name of the server.
    pub server: &'static str,
    /// Description of the load.
    pub label: String,
    /// Points by ascending quantile.
    pub points: Vec<CurvePoint>,
}

/// Point of a [`Curve`]: the share `quantile` of the requests had at most this latency.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CurvePoint {
    /// Share of the requests, 0 to 1.
    pub quantile: f64,
    /// Latency.
    pub seconds: f64,
}
