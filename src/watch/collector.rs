//! Watched servers as metrics: the same names as those of a server that accounts for itself.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use thread_states::State;
use thread_states::metrics::list::{
    ACTIVE_REQUESTS, Metric, MetricKind, THREAD_BLOCKED_SECONDS, THREAD_INFO, THREAD_STATE_SECONDS,
    THREAD_STATE_SINCE, THREAD_WALL_SECONDS,
};
use thread_states::waits::On;

use super::reading::WatchReading;
use super::sampler::{Watch, WatchHandle};
use crate::metrics::cpu_pressure;
use crate::metrics::list::{
    ACCEPT_QUEUE_LENGTH, ACCEPT_QUEUE_LIMIT, OLDEST_QUEUED, QUEUED_REQUESTS,
};
use crate::metrics::watched::{
    self, HOST_CPU_PRESSURE, WATCH_CPU_SECONDS, WATCH_LOST, WATCH_MISSING, WATCH_PERIOD,
    WATCH_READS, WATCH_TIES, WATCH_UP,
};

/// Metrics that watched servers share with the lab's own; [`watched::ALL`] are the others.
const SHARED: [Metric; 10] = [
    THREAD_STATE_SECONDS,
    THREAD_WALL_SECONDS,
    THREAD_BLOCKED_SECONDS,
    THREAD_STATE_SINCE,
    THREAD_INFO,
    ACTIVE_REQUESTS,
    ACCEPT_QUEUE_LENGTH,
    ACCEPT_QUEUE_LIMIT,
    QUEUED_REQUESTS,
    OLDEST_QUEUED,
];

fn collected() -> impl Iterator<Item = Metric> {
    SHARED.iter().chain(watched::ALL).copied()
}

/// State of time whose state cannot be known: the label of `thread_state_seconds_total`.
const UNKNOWN: &str = "unknown";

/// Metrics of all servers of a watcher, and of the watcher itself.
#[derive(Debug)]
pub struct WatchCollector {
    watch: Watch,
    descs: Vec<Desc>,
}

impl WatchCollector {
    /// A collector for the servers of this watcher.
    ///
    /// # Errors
    ///
    /// When Prometheus does not allow a name on the list.
    pub fn new(watch: Watch) -> prometheus::Result<Self> {
        let desc = |metric: Metric| {
            let labels = metric
                .labels
                .iter()
                .map(|label| (*label).to_owned())
                .collect();
            Desc::new(
                metric.name.to_owned(),
                metric.help.to_owned(),
                labels,
                [].into(),
            )
        };
        let descs = collected().map(desc).collect::<Result<_, _>>()?;
        Ok(Self { watch, descs })
    }
}

impl Collector for WatchCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Families::new();
        for server in self.watch.servers() {
            families.add_server(&server, &server.read());
        }
        families.add_cost(&self.watch);
        families.into_proto()
    }
}

/// The metrics with the series collected so far, in the order of [`collected`].
struct Families(Vec<(Metric, Vec<proto::Metric>)>);

impl Families {
    fn new() -> Self {
        Self(collected().map(|metric| (metric, Vec::new())).collect())
    }

    fn add_server(&mut self, server: &WatchHandle, reading: &WatchReading) {
        let name = server.name();
        self.add_threads(name, reading);
        self.add(ACTIVE_REQUESTS, &[name], reading.requests_in_flight as f64);
        self.add(
            QUEUED_REQUESTS,
            &[name, "accept"],
            reading.queued_in_accept as f64,
        );
        self.add(
            QUEUED_REQUESTS,
            &[name, "socket"],
            reading.queued_unread as f64,
        );
        self.add(OLDEST_QUEUED, &[name], reading.oldest_queued.as_secs_f64());
        if let Some((length, limit)) = reading.accept_queue {
            self.add(ACCEPT_QUEUE_LENGTH, &[name], length as f64);
            self.add(ACCEPT_QUEUE_LIMIT, &[name], limit as f64);
        }
        self.add(
            WATCH_UP,
            &[name],
            f64::from(u8::from(reading.has_processes)),
        );
        for missing in &reading.missing {
            self.add(WATCH_MISSING, &[name, missing.as_str()], 1.0);
        }
        self.add(WATCH_TIES, &[name], reading.ties as f64);
        self.add(WATCH_LOST, &[name], reading.lost_threads as f64);
    }

    fn add_threads(&mut self, name: &str, reading: &WatchReading) {
        for thread in &reading.threads {
            let index = thread.label();
            let settled = &thread.settled;
            self.add(
                THREAD_WALL_SECONDS,
                &[name, &index],
                settled.total().as_secs_f64(),
            );
            for state in State::ALL {
                let seconds = settled.times[state].as_secs_f64();
                self.add(
                    THREAD_STATE_SECONDS,
                    &[name, &index, state.as_str()],
                    seconds,
                );
                let since = match thread.state {
                    Some(now) if now == state => {
                        reading.at.duration_since(thread.state_since).as_secs_f64()
                    }
                    _ => 0.0,
                };
                if thread.index.is_some() {
                    self.add(THREAD_STATE_SINCE, &[name, &index, state.as_str()], since);
                }
            }
            if settled.unknown > thread_states::Nanos::ZERO {
                let seconds = settled.unknown.as_secs_f64();
                self.add(THREAD_STATE_SECONDS, &[name, &index, UNKNOWN], seconds);
            }
            for (on, blocked) in On::ALL.into_iter().zip(settled.blocked_on) {
                self.add(
                    THREAD_BLOCKED_SECONDS,
                    &[name, &index, on.as_str()],
                    blocked.as_secs_f64(),
                );
            }
            if thread.index.is_some() {
                let (pid, tid) = (thread.pid.to_string(), thread.tid.to_string());
                self.add(THREAD_INFO, &[name, &index, &pid, &tid, &thread.comm], 1.0);
            }
        }
    }

    fn add_cost(&mut self, watch: &Watch) {
        if let Some(share) = cpu_pressure() {
            self.add(HOST_CPU_PRESSURE, &[], share);
        }
        let cost = watch.cost();
        self.add(WATCH_CPU_SECONDS, &[], cost.cpu.as_secs_f64());
        for (what, reads) in [
            ("tick", cost.ticks),
            ("look", cost.looks),
            ("scan", cost.scans),
        ] {
            self.add(WATCH_READS, &[what], reads as f64);
        }
        for (what, period) in [("tick", cost.period), ("look", cost.look_period)] {
            self.add(WATCH_PERIOD, &[what], period.as_secs_f64());
        }
    }

    /// Adds a series; `labels` are the values in the order of the metric's labels.
    fn add(&mut self, metric: Metric, labels: &[&str], value: f64) {
        let pair = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut series =
            proto::Metric::from_label(metric.labels.iter().zip(labels).map(pair).collect());
        if metric.kind == MetricKind::Counter {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            series.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            series.set_gauge(gauge);
        }
        let mut families = self.0.iter_mut();
        if let Some((_, all)) = families.find(|(family, _)| *family == metric) {
            all.push(series);
        }
    }

    fn into_proto(self) -> Vec<MetricFamily> {
        let family = |(metric, series): (Metric, Vec<proto::Metric>)| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(match metric.kind {
                MetricKind::Counter => MetricType::COUNTER,
                MetricKind::Gauge | MetricKind::Histogram => MetricType::GAUGE,
            });
            family.set_metric(series);
            family
        };
        self.0.into_iter().map(family).collect()
    }
}
