//! Times of the events in milliseconds.

use serde::Serialize;
use thread_states::{Nanos, Timestamp};

/// A time on the server's clock, or a duration, in milliseconds to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Milliseconds(f64);

impl From<Nanos> for Milliseconds {
    fn from(time: Nanos) -> Self {
        Self(time.as_micros() as f64 / 1e3)
    }
}

impl From<Timestamp> for Milliseconds {
    fn from(time: Timestamp) -> Self {
        Nanos::from_nanos(time.as_nanos()).into()
    }
}
