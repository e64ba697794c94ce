//! Quality of the generated load.

use serde::Serialize;

/// Quality of the generated load.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Generator {
    /// Requests sent.
    pub requests: u64,
    /// 99th percentile of the delay between scheduled and actual send time.
    pub lag_p99_seconds: f64,
    /// Maximum of that delay.
    pub lag_max_seconds: f64,
    /// CPU seconds per second used by the generator. It has one thread, so 1 is the maximum.
    pub cpu_share: f64,
}

/// Above this lag, latencies say as much about the generator as about the lab.
const LAG_LIMIT_SECONDS: f64 = 0.1;
/// Above this share the generator is short of CPU time.
const CPU_LIMIT: f64 = 0.9;

impl Generator {
    /// Returns the reason why the load was not generated as scheduled, if so.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.lag_p99_seconds > LAG_LIMIT_SECONDS {
            Some(format!(
                "the load generator sent 1 % of its requests {:.3} s late or later; the limit is {LAG_LIMIT_SECONDS} s",
                self.lag_p99_seconds
            ))
        } else if self.cpu_share > CPU_LIMIT {
            Some(format!(
                "the load generator used {:.0} % of its one CPU; the limit is {:.0} %",
                self.cpu_share * 100.0,
                CPU_LIMIT * 100.0
            ))
        } else {
            None
        }
    }
}
