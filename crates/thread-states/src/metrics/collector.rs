//! Thread states, routes and requests in flight as metrics, computed during the scrape.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};

use super::list::{
    ACTIVE_REQUESTS, HTTP_ROUTE, Metric, MetricKind, ROUTE_AWAIT_SECONDS, ROUTE_POLL_SECONDS,
    SERVER, STATE, THREAD, THREAD_STATE_SECONDS, THREAD_WALL_SECONDS,
};
use crate::accounting::{Registry, State};

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
        let desc = |Family { metric, .. }: Family| {
            let labels = metric.labels_within_server();
            Desc::new(
                metric.name.to_owned(),
                metric.help.to_owned(),
                labels.into_iter().map(str::to_owned).collect(),
                server.clone(),
            )
        };
        let families = Families::new().into_array().into_iter();
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
        let mut families = Families::new();
        families.read(&self.registry);
        families.into_array().map(Family::into_proto).into()
    }
}

/// The metrics of one server with the series collected so far.
struct Families {
    states: Family,
    walls: Family,
    polls: Family,
    awaits: Family,
    active: Family,
}

impl Families {
    fn new() -> Self {
        Self {
            states: Family::new(THREAD_STATE_SECONDS),
            walls: Family::new(THREAD_WALL_SECONDS),
            polls: Family::new(ROUTE_POLL_SECONDS),
            awaits: Family::new(ROUTE_AWAIT_SECONDS),
            active: Family::new(ACTIVE_REQUESTS),
        }
    }

    fn read(&mut self, registry: &Registry) {
        let server = (SERVER, registry.server());
        let reading = registry.read();

        for thread in &reading.threads {
            let index = thread.index.to_string();
            let thread_label = (THREAD, index.as_str());
            self.walls
                .add(&[server, thread_label], thread.wall.as_secs_f64());
            for state in State::ALL {
                let labels = [server, thread_label, (STATE, state.as_str())];
                self.states.add(&labels, thread.times.seconds(state));
            }
        }
        // The times of routes come from the threads: without threads they would be 0 whatever happened.
        let routes = (!reading.threads.is_empty()).then(|| registry.routes().iter());
        for (route, times) in routes.into_iter().flatten().zip(&reading.routes) {
            let route = (HTTP_ROUTE, route);
            self.awaits
                .add(&[server, route], times.awaited.as_secs_f64());
            for (state, held) in [
                (State::Running, times.held.running),
                (State::Runnable, times.held.runnable),
                (State::Blocked, times.held.blocked),
            ] {
                let labels = [server, route, (STATE, state.as_str())];
                self.polls.add(&labels, held.as_secs_f64());
            }
        }
        self.active
            .add(&[server], registry.requests_in_flight() as f64);
    }

    fn into_array(self) -> [Family; 5] {
        let Self {
            states,
            walls,
            polls,
            awaits,
            active,
        } = self;
        [states, walls, polls, awaits, active]
    }
}

/// A counter or gauge with the series collected so far.
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

    /// Adds a series with these labels, given as name and value.
    fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut series = proto::Metric::from_label(labels.iter().map(pair).collect());
        if self.metric.kind == MetricKind::Counter {
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
            MetricKind::Counter => MetricType::COUNTER,
            MetricKind::Gauge | MetricKind::Histogram => MetricType::GAUGE,
        });
        family.set_metric(self.series);
        family
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn series_have_the_labels_that_the_list_declares() {
        let registry = Registry::new("shop", ["/".to_owned()]);
        let _registration = registry.join();
        let mut families = Families::new();
        families.read(&registry);
        for Family { metric, series } in families.into_array() {
            assert!(!series.is_empty(), "{} has no series", metric.name);
            for series in series {
                let labels = series.get_label().iter().map(LabelPair::name);
                assert_eq!(labels.collect::<Vec<_>>(), metric.labels);
            }
        }
    }
}
