//! Durations that experiments derive from the wait of the article's `/`.

use std::time::Duration;

/// Returns the maximum latency in seconds of a request that is served at once while another one waits for
/// `wait`: far below the wait, and far above the latency of an empty request on a busy machine with 2 CPUs.
pub(super) fn at_once(wait: Duration) -> f64 {
    (wait.as_secs_f64() / 4.0).min(0.5)
}

/// Returns the wait of an experiment that needs a request to be in flight for some seconds only.
pub(super) fn short_wait(wait: Duration) -> Duration {
    (wait / 4).clamp(Duration::from_millis(1500), Duration::from_secs(5))
}
