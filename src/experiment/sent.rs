//! Requests that a client sent, and how well it kept its schedule.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::histogram::Histogram;
use super::lab_server::LabServer;
use super::report::Generator;

/// Requests sent since the start of an experiment.
#[derive(Debug)]
pub(super) struct Sent {
    requests: u64,
    /// Of these, those to servers that do not count their requests.
    uncounted: u64,
    lag: Histogram,
    since: Instant,
    cpu_at_start: Duration,
}

impl Default for Sent {
    /// No requests, from now on.
    fn default() -> Self {
        Self {
            requests: 0,
            uncounted: 0,
            lag: Histogram::default(),
            since: Instant::now(),
            cpu_at_start: cpu_time(),
        }
    }
}

impl Sent {
    /// Counts a request that was sent to a server `lag` after its scheduled time.
    pub(super) fn count(&mut self, server: LabServer, lag: Duration) {
        self.requests += 1;
        self.uncounted += u64::from(server.is_original());
        self.lag.record(lag);
    }

    /// Returns the number of requests that the servers' metrics count, too.
    pub(super) fn counted_by_servers(&self) -> u64 {
        self.requests - self.uncounted
    }

    /// Returns the quality of the load up to now.
    pub(super) fn generator(&self) -> Generator {
        let elapsed = self.since.elapsed().as_secs_f64();
        Generator {
            requests: self.requests,
            lag_p99_seconds: self.lag.quantile(0.99).as_secs_f64(),
            lag_max_seconds: self.lag.max().as_secs_f64(),
            cpu_share: cpu_time().saturating_sub(self.cpu_at_start).as_secs_f64()
                / elapsed.max(1e-3),
        }
    }
}

/// Returns the CPU time of this process. Generating load is all it does.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
