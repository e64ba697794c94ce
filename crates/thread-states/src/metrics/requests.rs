//! Histograms of one server's requests.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec};

use super::list::{Metric, REQUEST_DURATION, REQUEST_QUEUE, SERVER, UNMATCHED};
use crate::accounting::Registry;

/// Bucket bounds in seconds: from a fast answer to the longest wait that the app allows, with the
/// article's 20 s in a bucket narrow enough for quantiles to say so.
const BUCKETS: [f64; 19] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 19.0,
    20.5, 30.0, 100.0, 300.0,
];

/// Durations and queue times of one server's requests.
#[derive(Debug, Clone)]
pub(super) struct Histograms {
    durations: HistogramVec,
    queue: Histogram,
}

impl Histograms {
    /// # Errors
    ///
    /// When a name on the list is none that Prometheus allows.
    pub(super) fn new(server: &str) -> prometheus::Result<Self> {
        let options = |metric: &Metric| {
            HistogramOpts::new(metric.name, metric.help)
                .const_label(SERVER, server)
                .buckets(BUCKETS.to_vec())
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

/// Counts the requests of one server.
#[derive(Debug)]
pub(super) struct Requests {
    registry: Registry,
    histograms: Histograms,
    /// The series of `GET` answered with 200, by route: most requests find theirs here.
    good: Box<[OnceLock<Histogram>]>,
}

impl Requests {
    pub(super) fn new(histograms: &Histograms, registry: &Registry) -> Self {
        let routes = registry.routes();
        let requests = Self {
            registry: registry.clone(),
            histograms: histograms.clone(),
            good: (0..routes.capacity()).map(|_| OnceLock::new()).collect(),
        };
        for (route, _) in routes.iter().enumerate() {
            requests.good(route);
        }
        requests
    }

    fn good(&self, route: usize) -> Option<&Histogram> {
        let series = || self.series(&Method::GET, route, StatusCode::OK);
        Some(self.good.get(route)?.get_or_init(series))
    }

    fn series(&self, method: &Method, route: usize, status: StatusCode) -> Histogram {
        let route = self.registry.routes().name(route).unwrap_or(UNMATCHED);
        let labels = [known(method), route, status.as_str()];
        self.histograms.durations.with_label_values(&labels)
    }

    /// Counts a request to a route, given by its index.
    pub(super) fn finished(
        &self,
        method: &Method,
        route: usize,
        status: StatusCode,
        took: Duration,
    ) {
        let took = took.as_secs_f64();
        let is_good = status == StatusCode::OK && method == Method::GET;
        match is_good.then(|| self.good(route)).flatten() {
            Some(good) => good.observe(took),
            None => self.series(method, route, status).observe(took),
        }
    }

    /// Counts how long a request waited for a thread.
    pub(super) fn queued(&self, waited: Duration) {
        self.histograms.queue.observe(waited.as_secs_f64());
    }
}

/// The method as a label: clients may invent methods, and each would be a series. OpenTelemetry
/// has `_OTHER` for them.
fn known(method: &Method) -> &str {
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
