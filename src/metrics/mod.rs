//! The thread accounting and the requests as Prometheus metrics.
//!
//! * `list`: the one list of names, help texts and labels
//! * `collector`: thread states, routes and queues, computed at the scrape
//! * `requests`, `layer`: histograms, and the layer around the app that fills them
//! * `exporter`: `/metrics` and health, on a port and a thread of their own

mod collector;
pub mod exporter;
mod layer;
pub mod list;
mod process;
mod requests;

pub use layer::{RequestLayer, RequestService, Waits};

use crate::thread_state;
use collector::ServerCollector;
use process::Process;
use requests::{Histograms, Requests};

/// The metrics of one process, of one server or more.
#[derive(Debug, Clone)]
pub struct Metrics {
    histograms: Histograms,
}

impl Metrics {
    /// # Errors
    ///
    /// When a name on the list is none that Prometheus allows.
    pub fn new() -> prometheus::Result<Self> {
        Ok(Self {
            histograms: Histograms::new()?,
        })
    }

    /// The layer that measures the requests of the server whose threads `registry` holds. Its
    /// routes have series from the first scrape on.
    #[must_use]
    pub fn layer(&self, registry: &thread_state::Registry, waits: Waits) -> RequestLayer {
        let requests = Requests::new(&self.histograms, registry.server(), registry.routes());
        RequestLayer::new(requests, registry.clone(), waits)
    }

    /// What the exporter gathers from: `servers`, the histograms and the process itself.
    ///
    /// # Errors
    ///
    /// When a name on the list is none that Prometheus allows, or stands on it twice.
    pub fn registry(
        &self,
        servers: Vec<thread_state::Registry>,
    ) -> prometheus::Result<prometheus::Registry> {
        let registry = prometheus::Registry::new();
        registry.register(Box::new(ServerCollector::new(servers)?))?;
        registry.register(Box::new(self.histograms.clone()))?;
        registry.register(Box::new(Process::this()))?;
        Ok(registry)
    }
}
