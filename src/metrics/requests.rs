//! Histograms of one server's requests.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec};

use super::list::{Metric, REQUEST_DURATION, REQUEST_QUEUE, UNMATCHED};

/// Bucket bounds in seconds: from a fast answer to the longest wait that the app allows, with the
/// article's 20 s in a bucket narrow enough for quantiles to say so.
const BUCKETS: [f64; 19] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 19.0,
    20.5, 30.0, 100.0, 300.0,
];

/// Durations and queue times of every server's requests.
#[derive(Debug, Clone)]
pub(super) struct Histograms {
    durations: HistogramVec,
    queue: HistogramVec,
}

impl Histograms {
    /// # Errors
    ///
    /// When a name on the list is none that Prometheus allows.
    pub(super) fn new() -> prometheus::Result<Self> {
        let histogram = |metric: Metric| {
            let opts = HistogramOpts::new(metric.name, metric.help).buckets(BUCKETS.to_vec());
            HistogramVec::new(opts, metric.labels)
        };
        Ok(Self {
            durations: histogram(REQUEST_DURATION)?,
            queue: histogram(REQUEST_QUEUE)?,
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

/// The histograms of one server.
#[derive(Debug)]
pub(super) struct Requests {
    server: String,
    routes: Vec<String>,
    durations: HistogramVec,
    /// The series of `GET` answered with 200, by route: most requests find theirs here, and every
    /// route has one from the start.
    good: Vec<Histogram>,
    queue: Histogram,
}

impl Requests {
    pub(super) fn new(histograms: &Histograms, server: &str, routes: &[String]) -> Self {
        let Histograms { durations, queue } = histograms;
        let good = |route: &String| durations.with_label_values(&[server, "GET", route, "200"]);
        Self {
            server: server.to_owned(),
            routes: routes.to_vec(),
            durations: durations.clone(),
            good: routes.iter().map(good).collect(),
            queue: queue.with_label_values(&[server]),
        }
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
        match self.good.get(route) {
            Some(good) if status == StatusCode::OK && method == Method::GET => good.observe(took),
            _ => {
                let route = self.routes.get(route).map_or(UNMATCHED, String::as_str);
                let labels = [self.server.as_str(), known(method), route, status.as_str()];
                self.durations.with_label_values(&labels).observe(took);
            }
        }
    }

    /// Counts how long a request waited for a thread.
    pub(super) fn queued(&self, waited: Duration) {
        self.queue.observe(waited.as_secs_f64());
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
