//! The metrics as a collector of the crate `prometheus-client`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::super::collector::{Family, Value};
use super::super::list::MetricKind;
use super::super::server_metrics::Metrics;

/// With the feature `prometheus-client`, the metrics of a server are a collector for any registry of that crate.
///
/// ```
/// use prometheus_client::encoding::text::encode;
/// use prometheus_client::registry::Registry;
/// use thread_states::Metrics;
///
/// let mut registry = Registry::default(); // or your own
/// registry.register_collector(Box::new(Metrics::new("shop")));
/// let mut text = String::new();
/// encode(&mut text, &registry)?;
/// assert!(text.contains(r#"http_server_active_requests{server="shop"} 0"#));
/// # Ok::<(), std::fmt::Error>(())
/// ```
impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sample = self.sample();
        for family in Family::ALL.into_iter().filter(|family| self.has(*family)) {
            let metric = family.metric();
            let kind = match metric.kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
                MetricKind::Histogram => MetricType::Histogram,
            };
            // The crate appends it to counters, and a full stop to help texts.
            let name = metric.name.trim_end_matches("_total");
            let help = metric.help.trim_end_matches('.');
            let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
            let mut result = Ok(());
            sample.series(family, &mut |labels, value| {
                if result.is_ok() {
                    let series = encoder.encode_family(&labels);
                    result = series.and_then(|series| encode_value(series, metric.kind, value));
                }
            });
            result?;
        }
        Ok(())
    }
}

fn encode_value(mut series: MetricEncoder<'_>, kind: MetricKind, value: Value<'_>) -> fmt::Result {
    match value {
        Value::Number(value) if kind == MetricKind::Counter => {
            series.encode_counter::<NoLabelSet, f64, u64>(&value, None)
        }
        Value::Number(value) => series.encode_gauge(&value),
        Value::Histogram { bounds, counts } => {
            // The crate adds the buckets up itself.
            let cumulative = counts.cumulative.iter().copied().chain([counts.count]);
            let mut below = 0;
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds
                .zip(cumulative)
                .map(|(bound, cumulative)| {
                    let count = cumulative - below;
                    below = cumulative;
                    (bound, count)
                })
                .collect();
            series.encode_histogram::<NoLabelSet>(counts.sum, counts.count, &buckets, None)
        }
    }
}
