//! Histograms of one server's requests: duration and queue time.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec};

use super::list::{Metric, REQUEST_DURATION, REQUEST_QUEUE, SERVER, UNMATCHED};
use crate::accounting::Registry;

/// Upper bounds of the buckets in seconds by default, from half a millisecond to five minutes.
pub(super) const BUCKETS: [f64; 17] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    100.0, 300.0,
];

/// Histograms of one server. Clones share the series.
#[derive(Debug, Clone)]
pub(super) struct Histograms {
    durations: HistogramVec,
    queue: Histogram,
}

impl Histograms {
    /// # Errors
    ///
    /// Returns an error if the bounds of the buckets are not ascending.
    pub(super) fn new(server: &str, buckets: &[f64]) -> prometheus::Result<Self> {
        let options = |metric: &Metric| {
            HistogramOpts::new(metric.name, metric.help)
                .const_label(SERVER, server)
                .buckets(buckets.to_vec())
        };
        let labels = REQUEST_DURATION.labels_within_server();
        Ok(Self {
            durations: HistogramVec::new(options(&REQUEST_DURATION), &labels)?,
            queue: Histogram::with_opts(options(&REQUEST_QUEUE))?,
        })
    }
}

impl Collector for Histograms {
    fn desc(&self) -> Vec<&Desc> {
        [self.durations.desc(), self.queue.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        [self.durations.collect(), self.queue.collect()].concat()
    }
}

/// Observer of one server's requests.
#[derive(Debug)]
pub(super) struct Requests {
    registry: Registry,
    histograms: Histograms,
    /// Series of `GET` requests with status 200, by route index: saves most requests the lookup by
    /// label values.
    get_ok: Box<[OnceLock<Histogram>]>,
}

impl Requests {
    pub(super) fn new(histograms: &Histograms, registry: &Registry) -> Self {
        let routes = registry.routes();
        let requests = Self {
            registry: registry.clone(),
            histograms: histograms.clone(),
            get_ok: (0..routes.capacity()).map(|_| OnceLock::new()).collect(),
        };
        for (route, _) in routes.iter().enumerate() {
            requests.get_ok(route);
        }
        requests
    }

    fn get_ok(&self, route: usize) -> Option<&Histogram> {
        let series = || self.series(&Method::GET, route, StatusCode::OK);
        Some(self.get_ok.get(route)?.get_or_init(series))
    }

    fn series(&self, method: &Method, route: usize, status: StatusCode) -> Histogram {
        let route = self.registry.routes().name(route).unwrap_or(UNMATCHED);
        let labels = [method_label(method), route, status.as_str()];
        self.histograms.durations.with_label_values(&labels)
    }

    /// Records the duration of a request to the route with this index.
    pub(super) fn finished(
        &self,
        method: &Method,
        route: usize,
        status: StatusCode,
        took: Duration,
    ) {
        let took = took.as_secs_f64();
        let is_get_ok = status == StatusCode::OK && method == Method::GET;
        match is_get_ok.then(|| self.get_ok(route)).flatten() {
            Some(series) => series.observe(took),
            None => self.series(method, route, status).observe(took),
        }
    }

    /// Records the time that a request waited for a thread.
    pub(super) fn queued(&self, waited: Duration) {
        self.histograms.queue.observe(waited.as_secs_f64());
    }
}

/// Returns the label value for a method: itself, or `_OTHER` for a method that is not in RFC 9110 or
/// 5789, as OpenTelemetry prescribes. Otherwise clients could create series.
fn method_label(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    if KNOWN.contains(method) {
        method.as_str()
    } else {
        "_OTHER"
    }
}
