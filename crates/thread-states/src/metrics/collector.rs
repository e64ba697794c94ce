//! Thread states, routes and requests in flight as metrics, computed during the scrape.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};

use super::list::{
    ACTIVE_REQUESTS, HTTP_ROUTE, Metric, MetricKind, ROUTE_AWAIT_SECONDS, ROUTE_HOLD_SECONDS,
    ROUTE_POLL_SECONDS, ROUTE_READY_SECONDS, SERVER, STATE, THREAD, THREAD_INFO,
    THREAD_STATE_SECONDS, THREAD_WALL_SECONDS,
};
use crate::accounting::{HoldCounts, LONG_HOLD_BOUNDS, Reading, Registry, RouteReading, State};

/// Collector of the metrics that are computed from a [`Registry`] during the scrape.
#[derive(Debug, Clone)]
pub(super) struct ServerCollector {
    registry: Registry,
    descs: Vec<Desc>,
}

impl ServerCollector {
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of a metric or label.
    pub(super) fn new(registry: Registry) -> prometheus::Result<Self> {
        let server = HashMap::from([(SERVER.to_owned(), registry.server().to_owned())]);
        let desc = |metric: Metric| {
            let labels = metric.labels_within_server();
            Desc::new(
                metric.name.to_owned(),
                metric.help.to_owned(),
                labels.into_iter().map(str::to_owned).collect(),
                server.clone(),
            )
        };
        let families = Family::ALL.into_iter().map(Family::metric);
        let descs = families.map(desc).collect::<Result<_, _>>()?;
        Ok(Self { registry, descs })
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Collector for ServerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sample = Sample::new(&self.registry);
        let families = Family::ALL.into_iter();
        families
            .map(|family| into_proto(family.metric(), |each| sample.series(family, each)))
            .collect()
    }
}

/// A metric that this collector computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    States,
    Walls,
    Infos,
    Polls,
    Holds,
    Awaits,
    Readies,
    Active,
}

impl Family {
    pub(super) const ALL: [Self; 8] = [
        Self::States,
        Self::Walls,
        Self::Infos,
        Self::Polls,
        Self::Holds,
        Self::Awaits,
        Self::Readies,
        Self::Active,
    ];

    pub(super) const fn metric(self) -> Metric {
        match self {
            Self::States => THREAD_STATE_SECONDS,
            Self::Walls => THREAD_WALL_SECONDS,
            Self::Infos => THREAD_INFO,
            Self::Polls => ROUTE_POLL_SECONDS,
            Self::Holds => ROUTE_HOLD_SECONDS,
            Self::Awaits => ROUTE_AWAIT_SECONDS,
            Self::Readies => ROUTE_READY_SECONDS,
            Self::Active => ACTIVE_REQUESTS,
        }
    }
}

/// Value of a series.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Number(f64),
    Histogram(HoldCounts),
}

/// Labels of a series, as name and value.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Times of one server at one moment.
pub(super) struct Sample<'a> {
    registry: &'a Registry,
    reading: Reading,
    /// Index of each thread, as the value of its label.
    threads: Vec<String>,
}

impl<'a> Sample<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        let reading = registry.read();
        let threads = reading.threads.iter();
        Self {
            threads: threads.map(|thread| thread.index.to_string()).collect(),
            registry,
            reading,
        }
    }

    /// Calls `each` with every series of a metric.
    pub(super) fn series(&self, family: Family, each: &mut dyn FnMut(Labels<'_>, Value)) {
        match family {
            Family::States | Family::Walls | Family::Infos => self.thread_series(family, each),
            Family::Active => {
                let active = self.registry.requests_in_flight() as f64;
                each(&[self.server()], Value::Number(active));
            }
            _ => self.route_series(family, each),
        }
    }

    fn server(&self) -> (&'static str, &str) {
        (SERVER, self.registry.server())
    }

    fn thread_series(&self, family: Family, each: &mut dyn FnMut(Labels<'_>, Value)) {
        let server = self.server();
        let pid = std::process::id().to_string();
        for (thread, index) in self.reading.threads.iter().zip(&self.threads) {
            let label = (THREAD, index.as_str());
            match family {
                Family::States => {
                    for state in State::ALL {
                        let labels = [server, label, (STATE, state.as_str())];
                        each(&labels, Value::Number(thread.times.seconds(state)));
                    }
                }
                Family::Infos => {
                    let Some(thread) = thread.os_thread else {
                        continue;
                    };
                    let tid = thread.tid.to_string();
                    let ids = [("pid", &*pid), ("tid", &*tid), ("comm", thread.name())];
                    let labels = [server, label, ids[0], ids[1], ids[2]];
                    each(&labels, Value::Number(1.0));
                }
                _ => each(&[server, label], Value::Number(thread.wall.as_secs_f64())),
            }
        }
    }

    fn route_series(&self, family: Family, each: &mut dyn FnMut(Labels<'_>, Value)) {
        // The times of routes come from the threads: without threads they would be 0 whatever happened.
        if self.reading.threads.is_empty() {
            return;
        }
        let server = self.server();
        let routes = self.registry.routes().iter();
        for (index, (route, times)) in routes.zip(&self.reading.routes).enumerate() {
            let route = (HTTP_ROUTE, route);
            match family {
                Family::Polls => {
                    for (state, held) in held_by_state(times) {
                        let labels = [server, route, (STATE, state.as_str())];
                        each(&labels, Value::Number(held));
                    }
                }
                Family::Holds => {
                    for (state, counts) in self.registry.long_holds().read(index) {
                        let labels = [server, route, (STATE, state.as_str())];
                        each(&labels, Value::Histogram(counts));
                    }
                }
                Family::Awaits => {
                    each(&[server, route], Value::Number(times.awaited.as_secs_f64()))
                }
                _ => each(&[server, route], Value::Number(times.ready.as_secs_f64())),
            }
        }
    }
}

fn held_by_state(times: &RouteReading) -> [(State, f64); 3] {
    [
        (State::Running, times.held.running.as_secs_f64()),
        (State::Runnable, times.held.runnable.as_secs_f64()),
        (State::Blocked, times.held.blocked.as_secs_f64()),
    ]
}

/// Returns a metric with its series as a registry of the `prometheus` crate takes it.
fn into_proto(
    metric: Metric,
    series: impl FnOnce(&mut dyn FnMut(Labels<'_>, Value)),
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Gauge => MetricType::GAUGE,
        MetricKind::Histogram => MetricType::HISTOGRAM,
    });
    let mut all = Vec::new();
    series(&mut |labels, value| all.push(series_proto(metric.kind, labels, value)));
    family.set_metric(all);
    family
}

fn series_proto(kind: MetricKind, labels: Labels<'_>, value: Value) -> proto::Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut series = proto::Metric::from_label(labels.iter().map(pair).collect());
    match value {
        Value::Number(value) if kind == MetricKind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            series.set_counter(counter);
        }
        Value::Number(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            series.set_gauge(gauge);
        }
        Value::Histogram(counts) => series.set_histogram(histogram_proto(&counts)),
    }
    series
}

fn histogram_proto(counts: &HoldCounts) -> proto::Histogram {
    let buckets = LONG_HOLD_BOUNDS.iter().zip(counts.cumulative);
    let buckets = buckets.map(|(bound, count)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(counts.count);
    histogram.set_sample_sum(counts.sum.as_secs_f64());
    histogram
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn series_have_the_labels_that_the_list_declares() {
        let registry = Registry::new("shop", ["/".to_owned()]);
        let _registration = registry.register_current_thread();
        let sample = Sample::new(&registry);
        for family in Family::ALL {
            let metric = family.metric();
            let mut any = false;
            sample.series(family, &mut |labels, value| {
                any = true;
                let labels = labels.iter().map(|(name, _)| *name);
                assert_eq!(labels.collect::<Vec<_>>(), metric.labels);
                let is_histogram = matches!(value, Value::Histogram(_));
                assert_eq!(is_histogram, metric.kind == MetricKind::Histogram);
            });
            assert!(any, "{} has no series", metric.name);
        }
    }

    #[test]
    fn a_thread_has_the_number_and_name_by_which_top_shows_it() {
        let registry = Registry::new("shop", []);
        let named = std::thread::Builder::new().name("worker-7".into());
        let seen = named.spawn(move || {
            let _registration = registry.register_current_thread();
            let mut seen = Vec::new();
            Sample::new(&registry).series(Family::Infos, &mut |labels, _| {
                seen.extend(labels.iter().map(|(_, value)| (*value).to_owned()));
            });
            (seen, rustix::thread::gettid().as_raw_nonzero().to_string())
        });
        let (seen, tid) = seen.unwrap().join().unwrap();
        let pid = std::process::id().to_string();
        assert_eq!(seen, ["shop", "0", &pid, &tid, "worker-7"]);
    }
}
