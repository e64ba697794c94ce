//! Thread states, routes and queues as metrics, computed when they are asked for.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};

use super::list::{
    ACTIVE_REQUESTS, Kind, Metric, ROUTE_AWAIT_SECONDS, ROUTE_POLL_SECONDS, SERVER,
    THREAD_STATE_SECONDS, THREAD_WALL_SECONDS,
};
use crate::accounting::{Registry, State, seconds};

/// Everything about a server that is computed at the scrape.
#[derive(Debug, Clone)]
pub(super) struct ServerCollector {
    registry: Registry,
    descs: Vec<Desc>,
}

const COLLECTED: [Metric; 5] = [
    THREAD_STATE_SECONDS,
    THREAD_WALL_SECONDS,
    ROUTE_POLL_SECONDS,
    ROUTE_AWAIT_SECONDS,
    ACTIVE_REQUESTS,
];

impl ServerCollector {
    /// # Errors
    ///
    /// When a name on the list is none that Prometheus allows.
    pub(super) fn new(registry: Registry) -> prometheus::Result<Self> {
        let server = HashMap::from([(SERVER.to_owned(), registry.server().to_owned())]);
        let desc = |metric: &Metric| {
            let labels = metric.labels_within_server();
            Desc::new(
                metric.name.to_owned(),
                metric.help.to_owned(),
                labels.into_iter().map(str::to_owned).collect(),
                server.clone(),
            )
        };
        let descs = COLLECTED.iter().map(desc).collect::<Result<_, _>>()?;
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
        let mut families = COLLECTED.map(Family::new);
        collect(&self.registry, &mut families);
        families.map(Family::into_proto).into()
    }
}

fn collect(registry: &Registry, families: &mut [Family; COLLECTED.len()]) {
    let [states, walls, polls, awaits, active] = families;
    let name = registry.server();
    let reading = registry.read();

    for thread in &reading.threads {
        let index = thread.index.to_string();
        walls.add(&[name, &index], seconds(thread.wall));
        for state in State::ALL {
            states.add(&[name, &index, state.as_str()], thread.times.seconds(state));
        }
    }
    // What a route spent is known from the threads that worked for it.
    let routes = (!reading.threads.is_empty()).then(|| registry.routes().iter());
    for (route, times) in routes.into_iter().flatten().zip(&reading.routes) {
        awaits.add(&[name, route], seconds(times.awaited));
        for (state, held) in [
            (State::Running, times.held.running),
            (State::Runnable, times.held.runnable),
            (State::Blocked, times.held.blocked),
        ] {
            polls.add(&[name, route, state.as_str()], seconds(held));
        }
    }
    active.add(&[name], registry.requests_in_flight() as f64);
}

/// A metric with the series collected so far.
struct Family {
    metric: Metric,
    series: Vec<proto::Metric>,
}

impl Family {
    fn new(metric: Metric) -> Self {
        Self {
            metric,
            series: Vec::new(),
        }
    }

    /// Adds a series; `labels` are the values in the order of the metric's labels.
    fn add(&mut self, labels: &[&str], value: f64) {
        let pair = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut series =
            proto::Metric::from_label(self.metric.labels.iter().zip(labels).map(pair).collect());
        if self.metric.kind == Kind::Counter {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            series.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            series.set_gauge(gauge);
        }
        self.series.push(series);
    }

    fn into_proto(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge | Kind::Histogram => MetricType::GAUGE,
        });
        family.set_metric(self.series);
        family
    }
}
