//! The metrics as a collector of the crate `prometheus`.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};

use super::super::collector::{Family, Labels, Sample, Value};
use super::super::list::{Metric, MetricKind, SERVER};
use super::super::server_metrics::Metrics;

/// With the feature `prometheus`, the metrics of a server are a collector for any registry of that crate.
///
/// ```
/// use prometheus::TextEncoder;
/// use thread_states::Metrics;
///
/// let metrics = Metrics::new("shop");
/// let registry = prometheus::Registry::new(); // or your own
/// registry.register(Box::new(metrics.clone()))?;
/// let text = TextEncoder::new().encode_to_string(&registry.gather())?;
/// assert!(text.contains(r#"http_server_active_requests{server="shop"} 0"#));
/// # Ok::<(), prometheus::Error>(())
/// ```
impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        let server = self.threads().server();
        let shown = || Family::ALL.into_iter().filter(|family| self.has(*family));
        // Its names are constants, which a test shows to be allowed.
        let new = || {
            shown()
                .filter_map(|family| desc(server, &family.metric()).ok())
                .collect()
        };
        self.descs.get_or_init(new).iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sample = self.sample();
        let families = Family::ALL.into_iter().filter(|family| self.has(*family));
        families.map(|family| collect(family, &sample)).collect()
    }
}

fn desc(server: &str, metric: &Metric) -> prometheus::Result<Desc> {
    let labels = metric.labels.iter().filter(|label| **label != SERVER);
    Desc::new(
        metric.name.to_owned(),
        metric.help.to_owned(),
        labels.map(|label| (*label).to_owned()).collect(),
        HashMap::from([(SERVER.to_owned(), server.to_owned())]),
    )
}

fn collect(family: Family, sample: &Sample) -> MetricFamily {
    let metric = family.metric();
    let mut collected = MetricFamily::default();
    collected.set_name(metric.name.to_owned());
    collected.set_help(metric.help.to_owned());
    collected.set_field_type(match metric.kind {
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Gauge => MetricType::GAUGE,
        MetricKind::Histogram => MetricType::HISTOGRAM,
    });
    let mut series = Vec::new();
    sample.series(family, &mut |labels, value| {
        series.push(series_proto(metric.kind, labels, value));
    });
    collected.set_metric(series);
    collected
}

fn series_proto(kind: MetricKind, labels: Labels<'_>, value: Value<'_>) -> proto::Metric {
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
        Value::Histogram { bounds, counts } => {
            let bucket = |(bound, count): (&f64, &u64)| {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(*count);
                bucket
            };
            let buckets = bounds.iter().zip(&counts.cumulative).map(bucket);
            let mut histogram = proto::Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(counts.count);
            histogram.set_sample_sum(counts.sum);
            series.set_histogram(histogram);
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::list::ALL;

    #[test]
    fn every_metric_is_described() {
        assert_eq!(Metrics::new("shop \"1\"").desc().len(), ALL.len());
    }

    #[test]
    fn servers_share_a_registry_unless_their_names_are_equal() {
        let registry = prometheus::Registry::new();
        let register = |name| registry.register(Box::new(Metrics::new(name)));
        assert!(register("shop").is_ok());
        assert!(register("shop").is_err());
        assert!(register("admin").is_ok());
    }
}
