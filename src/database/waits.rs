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
    pub(super) fn begin(&self) -> PoolWait {
        self.waiting.inc();
        PoolWait {
            waits: self.clone(),
            since: Instant::now(),
        }
    }
}

/// A request that waits for a connection.
#[derive(Debug)]
pub(super) struct PoolWait {
    waits: Waits,
    since: Instant,
}

impl PoolWait {
    /// Ends the wait and returns its duration.
    pub(super) fn end(self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for PoolWait {
    // Also for a request that got no connection, or whose client disconnected: both have waited.
    fn drop(&mut self) {
        self.waits.waiting.dec();
        self.waits
            .seconds
            .observe(self.since.elapsed().as_secs_f64());
    }
}
