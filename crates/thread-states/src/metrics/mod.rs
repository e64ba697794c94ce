//! The thread accounting and the requests of a server as Prometheus metrics.
//!
//! * `list`: the one list of names, help texts and labels
//! * `collector`: thread states, routes and queues, computed at the scrape
//! * `requests`, `layer`: histograms, and the layer around the app that fills them
//! * `exporter`: `/metrics` and health, on a port and a thread of their own

mod collector;
pub mod exporter;
mod layer;
pub mod list;
#[cfg(target_os = "linux")]
mod process;
mod requests;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio::runtime::Builder;

pub use layer::{RequestLayer, RequestService, ResponseFuture, Waits};

use crate::accounting::Registry;
use collector::ServerCollector;
use requests::Histograms;

/// The metrics of one server: a [`Collector`] for any [`prometheus::Registry`]. Clones share them.
///
/// Each series has the server's name as its label `server`, so that a process may have several, each
/// with threads of its own: a thread knows the routes of one server alone.
///
/// ```
/// use prometheus::TextEncoder;
/// use thread_states::Metrics;
///
/// let metrics = Metrics::new("shop")?;
/// let _registration = metrics.threads().join(); // or a runtime's workers: `instrument`
///
/// let registry = prometheus::Registry::new(); // or the one that you have
/// registry.register(Box::new(metrics.clone()))?;
/// let text = TextEncoder::new().encode_to_string(&registry.gather())?;
/// assert!(text.contains(r#"thread_state_seconds_total{server="shop",thread="0",state="blocked"}"#));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Metrics {
    threads: ServerCollector,
    histograms: Histograms,
}

impl Metrics {
    /// The metrics of a server of this name, whose threads and routes will show themselves.
    ///
    /// # Errors
    ///
    /// When a name on the list is none that Prometheus allows.
    pub fn new(server: impl Into<String>) -> prometheus::Result<Self> {
        Self::of(Registry::new(server, []))
    }

    /// The metrics of the server whose threads this registry holds. The routes that it knows
    /// have series from the first scrape on.
    ///
    /// # Errors
    ///
    /// When a name on the list is none that Prometheus allows.
    pub fn of(threads: Registry) -> prometheus::Result<Self> {
        Ok(Self {
            histograms: Histograms::new(threads.server())?,
            threads: ServerCollector::new(threads)?,
        })
    }

    /// The server's threads: where they are registered, and what they do.
    #[must_use]
    pub fn threads(&self) -> &Registry {
        self.threads.registry()
    }

    /// Has the workers of the runtime that `builder` builds account their time as this server's.
    ///
    /// See [`Registry::instrument`] for what it sets and whom it counts.
    ///
    /// ```
    /// use thread_states::Metrics;
    /// use tokio::runtime::Builder;
    ///
    /// let metrics = Metrics::new("shop")?;
    /// let runtime = metrics.instrument(Builder::new_multi_thread().enable_all()).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn instrument<'a>(&self, builder: &'a mut Builder) -> &'a mut Builder {
        self.threads().instrument(builder);
        builder
    }

    /// The layer that measures the server's requests. To be applied with [`axum::Router::layer`]
    /// after the routes that it is to measure.
    #[must_use]
    pub fn layer(&self) -> RequestLayer {
        RequestLayer::new(&self.histograms, self.threads())
    }

    /// Serves these metrics and those of the process, as [`exporter::routes`] has them, on an OS
    /// thread of their own, as long as the process lives. Returns the address that it listens on.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or the thread cannot be started.
    pub fn export(&self, address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
        let registry = registry([self.clone()]).map_err(io::Error::other)?;
        exporter::spawn(TcpListener::bind(address)?, exporter::routes(registry))
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.threads.desc(), self.histograms.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        [self.threads.collect(), self.histograms.collect()].concat()
    }
}

/// A registry with the metrics of these servers and, on Linux, of the process itself.
///
/// # Errors
///
/// When two servers have the same name.
pub fn registry(
    servers: impl IntoIterator<Item = Metrics>,
) -> prometheus::Result<prometheus::Registry> {
    let registry = prometheus::Registry::new();
    for server in servers {
        registry.register(Box::new(server))?;
    }
    #[cfg(target_os = "linux")]
    registry.register(Box::new(process::Process::this()))?;
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_share_a_registry_unless_they_have_the_same_name() {
        let named = |name: &str| Metrics::new(name).unwrap();
        assert!(registry([named("shop"), named("shop")]).is_err());
        let both = registry([named("shop"), named("admin")]).unwrap().gather();
        let active = both
            .iter()
            .find(|f| f.name() == "http_server_active_requests");
        assert_eq!(active.unwrap().get_metric().len(), 2);
    }

    #[test]
    fn where_no_thread_is_registered_nothing_is_said_of_routes() {
        let metrics = Metrics::of(Registry::new("shop", ["/".to_owned()])).unwrap();
        let of_routes = || {
            let families = metrics.collect();
            let mut named = families
                .iter()
                .filter(|f| f.name().starts_with("http_route_"));
            named.any(|family| !family.get_metric().is_empty())
        };
        assert!(!of_routes());
        let _registration = metrics.threads().join();
        assert!(of_routes());
    }
}
