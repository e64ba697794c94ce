//! The metrics in the recorder of the crate `metrics`, a facade for many exporters.

use std::collections::HashSet;
use std::sync::PoisonError;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit};

use super::super::collector::{Family, Labels, Value};
use super::super::list::{Metric, MetricKind};
use super::super::server_metrics::Metrics;

const METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

impl Metrics {
    /// Records the present values with the recorder of the crate `metrics`: the one that is installed for the process,
    /// or for the calling thread. They do not change between two calls, so call this before each rendering or push, or
    /// by a timer.
    ///
    /// The series have the names and labels that Prometheus gives them, so the same queries work. Counters of that
    /// crate are whole numbers and its histograms take single observations, hence the types differ: counters of seconds
    /// and the `_sum` of a histogram are gauges, and the series `_bucket` and `_count` are counters. An exporter
    /// must not append anything to the names: leave `with_recommended_naming` of `metrics-exporter-prometheus` off.
    ///
    /// A recorder cannot remove a series. A gauge of a thread that has ended, such as its `thread_info`, is set to 0.
    ///
    /// ```
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use thread_states::Metrics;
    ///
    /// let handle = PrometheusBuilder::new().install_recorder()?; // or the one that you have
    /// let metrics = Metrics::new("shop");
    ///
    /// // In the handler of `/metrics`:
    /// metrics.record();
    /// let text = handle.render();
    /// assert!(text.contains(r#"http_server_active_requests{server="shop"} 0"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&self) {
        metrics::with_recorder(|recorder| {
            let mut recording = Recording {
                recorder,
                gauges: HashSet::new(),
            };
            let sample = self.sample();
            for family in Family::ALL.into_iter().filter(|family| self.has(*family)) {
                let metric = family.metric();
                recording.describe(&metric);
                sample.series(family, &mut |labels, value| {
                    recording.series(&metric, labels, value);
                });
            }
            let gauges = recording.gauges;
            let before = self.recorded_gauges.lock();
            let mut before = before.unwrap_or_else(PoisonError::into_inner);
            for key in before.difference(&gauges) {
                recorder.register_gauge(key, &METADATA).set(0.0);
            }
            *before = gauges;
        });
    }
}

/// One call of [`Metrics::record`].
struct Recording<'a> {
    recorder: &'a dyn Recorder,
    /// Gauges that can decrease.
    gauges: HashSet<Key>,
}

impl Recording<'_> {
    fn describe(&self, metric: &Metric) {
        let (name, help) = (metric.name, metric.help);
        let gauge = |name: KeyName, help: SharedString| {
            let unit = name.as_str().contains("_seconds").then_some(Unit::Seconds);
            self.recorder.describe_gauge(name, unit, help);
        };
        match metric.kind {
            MetricKind::Counter if is_whole(metric) => {
                let unit = Some(Unit::Count);
                self.recorder
                    .describe_counter(name.into(), unit, help.into());
            }
            MetricKind::Counter => gauge(name.into(), format!("{help} It only increases.").into()),
            MetricKind::Gauge => gauge(name.into(), help.into()),
            MetricKind::Histogram => {
                for suffix in ["bucket", "count"] {
                    let name = format!("{name}_{suffix}");
                    let unit = Some(Unit::Count);
                    self.recorder
                        .describe_counter(name.into(), unit, help.into());
                }
                let help = format!("{help} It only increases.");
                gauge(format!("{name}_sum").into(), help.into());
            }
        }
    }

    fn series(&mut self, metric: &Metric, labels: Labels<'_>, value: Value<'_>) {
        let labels = labels.iter().map(|(name, value)| label(name, value));
        let labels: Vec<_> = labels.collect();
        match value {
            // Exact: it is a count.
            Value::Number(value) if is_whole(metric) => {
                self.counter(Key::from_parts(metric.name, labels), value as u64);
            }
            Value::Number(value) => {
                let key = Key::from_parts(metric.name, labels);
                self.gauge(&key, value);
                if metric.kind == MetricKind::Gauge {
                    self.gauges.insert(key);
                }
            }
            Value::Histogram { bounds, counts } => {
                let name = metric.name;
                let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                let cumulative = counts.cumulative.iter().copied().chain([counts.count]);
                for (bound, count) in bounds.zip(cumulative) {
                    let labels = labels.iter().cloned().chain([label("le", &bound)]);
                    let labels: Vec<_> = labels.collect();
                    self.counter(Key::from_parts(format!("{name}_bucket"), labels), count);
                }
                let sum = Key::from_parts(format!("{name}_sum"), labels.clone());
                self.gauge(&sum, counts.sum);
                self.counter(
                    Key::from_parts(format!("{name}_count"), labels),
                    counts.count,
                );
            }
        }
    }

    fn counter(&self, key: Key, value: u64) {
        let counter = self.recorder.register_counter(&key, &METADATA);
        counter.absolute(value);
    }

    fn gauge(&self, key: &Key, value: f64) {
        self.recorder.register_gauge(key, &METADATA).set(value);
    }
}

fn label(name: &'static str, value: &str) -> Label {
    Label::new(name, value.to_owned())
}

/// Returns whether this is a counter of whole numbers. The others count seconds.
fn is_whole(metric: &Metric) -> bool {
    metric.kind == MetricKind::Counter && !metric.name.ends_with("_seconds_total")
}
