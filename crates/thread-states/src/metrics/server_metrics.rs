//! Metrics of one server.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio::runtime::Builder;

use super::collector::ServerCollector;
use super::layer::{Measured, RequestLayer};
#[cfg(target_os = "linux")]
use super::process::ProcessMetrics;
use super::requests::{BUCKETS, Histograms};
use crate::accounting::Registry;

/// Metrics of one server: a [`Collector`] for any [`prometheus::Registry`]. Clones share the values.
///
/// The label `server` of each series is the server's name. A process may have several servers, each
/// with its own threads: a thread belongs to one server.
///
/// ```
/// use prometheus::TextEncoder;
/// use thread_states::Metrics;
///
/// let metrics = Metrics::new("shop")?;
/// let _registration = metrics.threads().register_current_thread(); // or the workers of a runtime: `instrument`
///
/// let registry = prometheus::Registry::new(); // or your own
/// registry.register(Box::new(metrics.clone()))?;
/// let text = TextEncoder::new().encode_to_string(&registry.gather())?;
/// assert!(text.contains(r#"thread_state_seconds_total{server="shop",thread="0",state="blocked"}"#));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Metrics {
    threads: ServerCollector,
    pub(super) histograms: Histograms,
}

impl Metrics {
    /// Creates the metrics of a server with this name. Threads and routes get series once they are
    /// registered or used.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of a metric or label.
    pub fn new(server: impl Into<String>) -> prometheus::Result<Self> {
        Self::of(Registry::new(server, []))
    }

    /// Creates the metrics of the server whose threads are in this registry. Routes that the registry
    /// knows have series from the first scrape on, so that Prometheus sees their first request as an
    /// increase.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of a metric or label.
    pub fn of(threads: Registry) -> prometheus::Result<Self> {
        Self::with_buckets(threads, &BUCKETS)
    }

    /// [`Self::of`], with other buckets for the durations of requests and the time in the queue: their
    /// upper bounds in seconds, ascending. By default they are from 0.5 ms to 5 minutes.
    ///
    /// # Errors
    ///
    /// Returns an error if the bounds are not ascending.
    pub fn with_buckets(threads: Registry, bounds: &[f64]) -> prometheus::Result<Self> {
        Ok(Self {
            histograms: Histograms::new(threads.server(), bounds)?,
            threads: ServerCollector::new(threads)?,
        })
    }

    /// Returns the registry of the server's threads.
    #[must_use]
    pub fn threads(&self) -> &Registry {
        self.threads.registry()
    }

    /// Registers the worker threads of the runtime that `builder` builds as threads of this server.
    ///
    /// See [`Registry::instrument`] for the hooks that it sets and the threads that it counts.
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

    /// Returns the layer that measures the server's requests. Apply it with [`axum::Router::layer`],
    /// after adding the routes: a layer wraps only the routes that exist at that time.
    #[must_use]
    pub fn layer(&self) -> RequestLayer {
        RequestLayer::new(&self.histograms, self.threads())
    }

    /// Gives work that is no request a route: a spawned task, a websocket, a command of a protocol. The
    /// times of its polls and waits count under the route `name`, and it shows up wherever it holds a
    /// thread. For synchronous work there is the guard [`hold`](crate::hold()).
    ///
    /// ```
    /// use thread_states::Metrics;
    ///
    /// # async fn send_mail() {}
    /// # async fn example(metrics: &Metrics) {
    /// tokio::spawn(metrics.measure("mail", send_mail()));
    /// # }
    /// ```
    pub fn measure<F>(&self, name: &str, future: F) -> Measured<F> {
        Measured::new(self.threads(), name, future)
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

/// Creates a registry of the `prometheus` crate with the metrics of these servers and, on Linux, the
/// `process_*` metrics. [`Exposition`](super::Exposition) takes less time per scrape.
///
/// # Errors
///
/// Returns an error if two servers have the same name.
pub fn registry(
    servers: impl IntoIterator<Item = Metrics>,
) -> prometheus::Result<prometheus::Registry> {
    let registry = prometheus::Registry::new();
    for server in servers {
        registry.register(Box::new(server))?;
    }
    #[cfg(target_os = "linux")]
    registry.register(Box::new(ProcessMetrics::for_self()))?;
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_share_a_registry_unless_their_names_are_equal() {
        let named = |name: &str| Metrics::new(name).unwrap();
        assert!(registry([named("shop"), named("shop")]).is_err());
        let both = registry([named("shop"), named("admin")]).unwrap().gather();
        let active = both
            .iter()
            .find(|f| f.name() == "http_server_active_requests");
        assert_eq!(active.unwrap().get_metric().len(), 2);
    }

    #[test]
    fn routes_have_no_series_without_registered_threads() {
        let metrics = Metrics::of(Registry::new("shop", ["/".to_owned()])).unwrap();
        let of_routes = || {
            let families = metrics.collect();
            let mut named = families
                .iter()
                .filter(|f| f.name().starts_with("http_route_"));
            named.any(|family| !family.get_metric().is_empty())
        };
        assert!(!of_routes());
        let _registration = metrics.threads().register_current_thread();
        assert!(of_routes());
    }
}
