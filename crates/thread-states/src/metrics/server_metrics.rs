//! Metrics of one server.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};

use super::collector::{Family, Sample};
use super::histogram::{Bounds, InvalidBounds};
use super::layer::{Measured, RequestLayer};
use super::list::Metric;
use super::requests::{BUCKETS, RequestHistograms};
use crate::accounting::{Registration, Registry};

/// Metrics of one server. Clones share the values.
///
/// The label `server` of each series is the server's name. A process may have several servers, each
/// with its own threads: a thread belongs to one server.
///
/// They are text ([`Self::encode`]), or a page of their own ([`Self::export`]). With the feature of the same
/// name they are a collector for registries of the crates `prometheus` and `prometheus-client`, instruments
/// of `opentelemetry`, or recorded with the facade `metrics`.
///
/// ```
/// use thread_states::Metrics;
///
/// let metrics = Metrics::new("shop");
/// let _registration = metrics.register_current_thread(); // or the workers of a runtime: `instrument`
/// let text = metrics.encode();
/// assert!(text.contains(r#"thread_state_seconds_total{server="shop",thread="0",state="blocked"}"#));
/// ```
#[derive(Debug, Clone)]
pub struct Metrics {
    threads: Registry,
    histograms: RequestHistograms,
    left_out: Arc<[&'static str]>,
    /// Made when the metrics are first registered.
    #[cfg(feature = "prometheus")]
    pub(super) descs: Arc<std::sync::OnceLock<Vec<prometheus::core::Desc>>>,
    /// Gauges of the last recording.
    #[cfg(feature = "metrics")]
    pub(super) recorded_gauges: Arc<std::sync::Mutex<std::collections::HashSet<metrics::Key>>>,
}

impl Metrics {
    /// Creates the metrics of a server with this name. Threads and routes get series once they are
    /// registered or used.
    #[must_use]
    pub fn new(server: impl Into<String>) -> Self {
        Self::of(Registry::new(server, []))
    }

    /// Creates the metrics of the server whose threads are in this registry. Routes that the registry
    /// knows have series from the first scrape on, so that Prometheus sees their first request as an
    /// increase.
    #[must_use]
    pub fn of(threads: Registry) -> Self {
        Self::builder(threads).build()
    }

    /// Returns a builder, to choose metrics and buckets.
    ///
    /// ```
    /// use thread_states::metrics::list::REQUEST_DURATION;
    /// use thread_states::{Metrics, Registry};
    ///
    /// let metrics = Metrics::builder(Registry::new("shop", []))
    ///     .without(REQUEST_DURATION) // the service has its own
    ///     .buckets(&[0.01, 0.1, 1.0])?
    ///     .build();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(threads: Registry) -> MetricsBuilder {
        MetricsBuilder {
            threads,
            bounds: Bounds::of_ascending(&BUCKETS),
            left_out: Vec::new(),
        }
    }

    /// Returns the registry of the server's threads.
    #[must_use]
    pub fn threads(&self) -> &Registry {
        &self.threads
    }

    /// Registers the calling thread as a thread of this server until the guard is dropped, see
    /// [`Registry::register_current_thread`].
    pub fn register_current_thread(&self) -> Registration {
        self.threads.register_current_thread()
    }

    /// Runs a future to its end as `#[tokio::main]` does: on a new multi-thread runtime with everything
    /// enabled. Its workers are threads of this server.
    ///
    /// tokio calls hooks only of a runtime that was built with them, so this takes the place of the attribute:
    ///
    /// ```
    /// use thread_states::Metrics;
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let metrics = Metrics::new("shop");
    ///     metrics.run(async {
    ///         // The body of `async fn main`.
    ///         Ok(())
    ///     })?
    /// }
    /// ```
    ///
    /// For other runtimes there is [`Self::instrument`].
    ///
    /// # Errors
    ///
    /// Returns an error within another runtime, or if the runtime cannot be built.
    pub fn run<F: Future>(&self, future: F) -> io::Result<F::Output> {
        if Handle::try_current().is_ok() {
            return Err(io::Error::other(
                "Metrics::run was called within a tokio runtime: remove `#[tokio::main]`, whose runtime has no \
                 hooks, and call it from a plain `fn main`",
            ));
        }
        let mut builder = Builder::new_multi_thread();
        let runtime = self.instrument(builder.enable_all()).build()?;
        Ok(runtime.block_on(future))
    }

    /// Registers the worker threads of the runtime that `builder` builds as threads of this server.
    ///
    /// See [`Registry::instrument`] for the hooks that it sets and the threads that it counts.
    ///
    /// ```
    /// use thread_states::Metrics;
    /// use tokio::runtime::Builder;
    ///
    /// let metrics = Metrics::new("shop");
    /// let runtime = metrics.instrument(Builder::new_multi_thread().enable_all()).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn instrument<'a>(&self, builder: &'a mut Builder) -> &'a mut Builder {
        self.threads().instrument(builder);
        builder
    }

    /// Returns the layer that measures the server's requests. Apply it to an axum router with
    /// `Router::layer` after adding the routes: a layer wraps only the routes that exist at that time.
    #[must_use]
    pub fn layer(&self) -> RequestLayer {
        RequestLayer::new(&self.histograms, self.threads())
    }

    /// Gives work that is not a request a route: a spawned task, a websocket, a command of a protocol. The
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

    /// Reads all values at this moment.
    pub(super) fn sample(&self) -> Sample {
        Sample::new(&self.threads, &self.histograms)
    }

    /// Returns whether a metric is shown.
    pub(super) fn has(&self, family: Family) -> bool {
        !self.left_out.contains(&family.metric().name)
    }
}

/// Builder of [`Metrics`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct MetricsBuilder {
    threads: Registry,
    bounds: Bounds,
    left_out: Vec<&'static str>,
}

impl MetricsBuilder {
    /// Leaves out a metric of [`list`](super::list), e.g. one that the application has already.
    pub fn without(mut self, metric: Metric) -> Self {
        self.left_out.push(metric.name);
        self
    }

    /// Sets the buckets for the durations of requests and the time in the queue: their upper bounds in seconds.
    /// By default they are from 0.5 ms to 5 minutes.
    ///
    /// # Errors
    ///
    /// Returns an error if the bounds are not above 0 and ascending.
    pub fn buckets(mut self, bounds: &[f64]) -> Result<Self, InvalidBounds> {
        self.bounds = Bounds::new(bounds)?;
        Ok(self)
    }

    /// Creates the metrics.
    #[must_use]
    pub fn build(self) -> Metrics {
        Metrics {
            histograms: RequestHistograms::new(self.bounds),
            threads: self.threads,
            left_out: self.left_out.into(),
            #[cfg(feature = "prometheus")]
            descs: Arc::default(),
            #[cfg(feature = "metrics")]
            recorded_gauges: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_no_series_without_registered_threads() {
        let metrics = Metrics::of(Registry::new("shop", ["/".to_owned()]));
        let of_routes = || metrics.encode().contains("http_route_");
        assert!(!of_routes());
        let _registration = metrics.register_current_thread();
        assert!(of_routes());
    }

    #[test]
    fn a_runtime_within_a_runtime_is_an_error() {
        let metrics = Metrics::new("shop");
        let inner = metrics.run(async { metrics.run(async {}) }).unwrap();
        let message = inner.unwrap_err().to_string();
        assert!(message.contains("#[tokio::main]"), "{message}");
    }
}
