//! Metrics of one server's requests: duration and queue time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use http::{Method, StatusCode};

use super::histogram::{Bounds, Histogram, HistogramCounts};
use super::list::UNMATCHED;
use crate::accounting::{Nanos, Registry};

/// Upper bounds of the buckets in seconds by default, from half a millisecond to five minutes.
pub(super) const BUCKETS: [f64; 18] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 100.0, 300.0,
];

/// Histograms of one server's requests, and the counter of what they leave out. Clones share the series.
#[derive(Debug, Clone)]
pub(super) struct RequestHistograms(Arc<SharedHistograms>);

#[derive(Debug)]
struct SharedHistograms {
    bounds: Bounds,
    durations: RwLock<BTreeMap<Key, Histogram>>,
    queue: Histogram,
    starts_rejected: AtomicU64,
}

/// Labels of a series of the durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) method: &'static str,
    /// Index of the route in the registry.
    pub(super) route: usize,
    pub(super) status: StatusCode,
}

impl RequestHistograms {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(SharedHistograms {
            queue: Histogram::new(&bounds),
            starts_rejected: AtomicU64::new(0),
            durations: RwLock::default(),
            bounds,
        }))
    }

    /// Upper bounds of the buckets in seconds.
    pub(super) fn bounds(&self) -> &[f64] {
        &self.0.bounds.seconds
    }

    /// Returns the durations by method, route and status so far.
    pub(super) fn durations(&self) -> Vec<(Key, HistogramCounts)> {
        let durations = self.0.durations.read();
        let durations = durations.unwrap_or_else(PoisonError::into_inner);
        durations
            .iter()
            .map(|(key, series)| (*key, series.read()))
            .collect()
    }

    /// Returns the queue times so far.
    pub(super) fn queue(&self) -> HistogramCounts {
        self.0.queue.read()
    }

    /// Returns the number of requests so far whose `X-Request-Start` is not valid.
    pub(super) fn starts_rejected(&self) -> u64 {
        self.0.starts_rejected.load(Relaxed)
    }

    fn series(&self, key: Key) -> Histogram {
        let durations = self.0.durations.read();
        let found = durations
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        found.unwrap_or_else(|| {
            let durations = self.0.durations.write();
            let mut durations = durations.unwrap_or_else(PoisonError::into_inner);
            let new = || Histogram::new(&self.0.bounds);
            durations.entry(key).or_insert_with(new).clone()
        })
    }
}

/// Observer of one server's requests.
#[derive(Debug)]
pub(super) struct Requests {
    registry: Registry,
    histograms: RequestHistograms,
    /// Series of `GET` requests with status 200, by route index: saves most requests the lookup by
    /// label values.
    get_ok: Box<[OnceLock<Histogram>]>,
}

impl Requests {
    pub(super) fn new(histograms: &RequestHistograms, registry: &Registry) -> Self {
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
        let series = || {
            self.histograms.series(Key {
                method: "GET",
                route,
                status: StatusCode::OK,
            })
        };
        Some(self.get_ok.get(route)?.get_or_init(series))
    }

    /// Records the duration of a request.
    pub(super) fn finished(&self, key: Key, took: Nanos) {
        let bounds = &self.histograms.0.bounds;
        let is_get_ok = key.status == StatusCode::OK && key.method == "GET";
        match is_get_ok.then(|| self.get_ok(key.route)).flatten() {
            Some(series) => series.add(bounds, took),
            None => self.histograms.series(key).add(bounds, took),
        }
    }

    /// Records the time that a request waited for a thread.
    pub(super) fn queued(&self, waited: Nanos) {
        self.histograms
            .0
            .queue
            .add(&self.histograms.0.bounds, waited);
    }

    /// Returns the index of a route by its name; `None` for requests that match none.
    pub(super) fn route(&self, name: Option<&str>) -> usize {
        self.registry.routes().index(name.unwrap_or(UNMATCHED))
    }

    /// Counts a request whose `X-Request-Start` is not valid.
    pub(super) fn start_rejected(&self) {
        self.histograms.0.starts_rejected.fetch_add(1, Relaxed);
    }
}

/// Returns the label value for a method: itself, or `_OTHER` for a method that is not in RFC 9110 or
/// 5789, as OpenTelemetry prescribes. Otherwise clients could create series.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}
