//! Configuration of a run.

use std::time::Duration;

use super::capacity_plan::CapacityPlan;
use super::lab_server::LabServer;

/// Addresses of a lab, each as `HOST:PORT`.
#[derive(Debug, Clone)]
pub struct LabAddresses {
    /// The front.
    pub front: String,
    /// Metrics ports. Together they must export both servers. A host name that resolves to several
    /// addresses is scraped at each of them: one per replica.
    pub metrics: Vec<String>,
    /// Metrics ports of the processes that watch the article's programs. Those that do not respond are ignored, unless
    /// their server is among [`RunConfig::servers`].
    pub watchers: Vec<String>,
    /// The synchronous server, without the front.
    pub sync: String,
    /// The asynchronous server, without the front.
    pub r#async: String,
}

/// Configuration of a call to [`run`](super::run).
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The lab to test.
    pub addresses: LabAddresses,
    /// Wait of the article's `/`, 0.5 s to 120 s. Every other wait is derived from it.
    pub wait: Duration,
    /// Servers that `article`, `matrix` and `drivers` compare.
    pub servers: Vec<LabServer>,
    /// Load for which `capacity` plans, in place of its own.
    pub plan: Option<CapacityPlan>,
}
