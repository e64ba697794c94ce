//! Waits for a connection of one pool.

use std::time::{Duration, Instant};

use prometheus::{Histogram, IntGauge};

/// Metrics of the waits for a connection of one pool. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Waits {
    pub(super) waiting: IntGauge,
    pub(super) seconds: Histogram,
}

impl Waits {
    /// Counts a request as waiting until the returned wait ends or is dropped.
    pub(super) fn begin(&self) -> Wait {
        self.waiting.inc();
        Wait {
            waits: self.clone(),
            since: Instant::now(),
        }
    }
}

/// A request that waits for a connection.
#[derive(Debug)]
pub(super) struct Wait {
    waits: Waits,
    since: Instant,
}

impl Wait {
    /// Ends the wait and returns its duration.
    pub(super) fn end(self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Wait {
    // Also for a request that got no connection, or whose client disconnected: both have waited.
    fn drop(&mut self) {
        self.waits.waiting.dec();
        self.waits
            .seconds
            .observe(self.since.elapsed().as_secs_f64());
    }
}
