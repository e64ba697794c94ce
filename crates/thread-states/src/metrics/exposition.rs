//! Metrics in Prometheus' text format.
//!
//! The thread states and routes are written straight from a reading: as values of the `prometheus` crate,
//! the 6,000 series of 1,000 threads took 6 ms, most of it for the memory of their labels.

use std::fmt::Write;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

use super::collector::{Family, Labels, Sample, Value};
use super::list::Metric;
use super::server_metrics::{Metrics, registry};
use crate::accounting::{HoldCounts, LONG_HOLD_BOUNDS};

/// Content of one `/metrics`: the metrics of any number of servers, and those of other collectors.
///
/// It is a registry of its own, so that no name can clash with those of the application's registry.
///
/// ```
/// use thread_states::Metrics;
/// use thread_states::metrics::Exposition;
///
/// let (shop, admin) = (Metrics::new("shop")?, Metrics::new("admin")?);
/// let text = Exposition::new([shop, admin])?.encode()?;
/// assert!(text.contains(r#"http_server_active_requests{server="admin"} 0"#));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Exposition {
    servers: Vec<Metrics>,
    others: Registry,
}

impl Exposition {
    /// Creates the exposition of these servers and, on Linux, of the `process_*` metrics.
    ///
    /// # Errors
    ///
    /// Returns an error if two servers have the same name.
    pub fn new(servers: impl IntoIterator<Item = Metrics>) -> prometheus::Result<Self> {
        let servers: Vec<_> = servers.into_iter().collect();
        // It knows which names clash.
        let _ = registry(servers.clone())?;
        Ok(Self {
            servers,
            others: registry([])?,
        })
    }

    /// Adds another collector, of other metrics than those of this crate.
    ///
    /// # Errors
    ///
    /// Returns an error if its metrics are registered already.
    pub fn register(&self, collector: Box<dyn Collector>) -> prometheus::Result<()> {
        self.others.register(collector)
    }

    /// Returns all metrics in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    ///
    /// Returns an error if another collector returns metrics that Prometheus does not allow.
    pub fn encode(&self) -> prometheus::Result<String> {
        let mut text = encode(&self.servers)?;
        TextEncoder::new().encode_utf8(&self.others.gather(), &mut text)?;
        Ok(text)
    }
}

impl From<Registry> for Exposition {
    /// Shows the metrics of a registry, and no others.
    fn from(others: Registry) -> Self {
        Self {
            servers: Vec::new(),
            others,
        }
    }
}

/// Returns the metrics of these servers as text.
pub(super) fn encode(servers: &[Metrics]) -> prometheus::Result<String> {
    let mut text = String::new();
    let registries = servers.iter().map(Metrics::threads);
    let samples: Vec<_> = registries.map(Sample::new).collect();
    for family in Family::ALL {
        write_family(&mut text, family, &samples);
    }
    TextEncoder::new().encode_utf8(&request_families(servers), &mut text)?;
    Ok(text)
}

/// Returns the histograms of requests, each with the series of all servers.
fn request_families(servers: &[Metrics]) -> Vec<MetricFamily> {
    let mut merged: Vec<MetricFamily> = Vec::new();
    for mut family in servers
        .iter()
        .flat_map(|server| server.histograms.collect())
    {
        if family.get_metric().is_empty() {
            continue;
        }
        match merged
            .iter_mut()
            .find(|other| other.name() == family.name())
        {
            Some(other) => other.mut_metric().extend(family.take_metric()),
            None => merged.push(family),
        }
    }
    merged
}

fn write_family(text: &mut String, family: Family, samples: &[Sample<'_>]) {
    let metric = family.metric();
    let mut has_header = false;
    for sample in samples {
        sample.series(family, &mut |labels, value| {
            if !has_header {
                write_header(text, &metric);
                has_header = true;
            }
            match value {
                Value::Number(value) => write_line(text, metric.name, "", labels, value),
                Value::Histogram(counts) => write_histogram(text, metric.name, labels, &counts),
            }
        });
    }
}

fn write_header(text: &mut String, metric: &Metric) {
    let (name, kind) = (metric.name, metric.kind.as_str());
    let help = metric.help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn write_histogram(text: &mut String, name: &str, labels: Labels<'_>, counts: &HoldCounts) {
    let bounds = LONG_HOLD_BOUNDS.iter().zip(counts.cumulative);
    for (bound, count) in bounds {
        let bound = bound.as_secs_f64().to_string();
        write_line(
            text,
            name,
            "_bucket",
            &with_bound(labels, &bound),
            count as f64,
        );
    }
    let all = with_bound(labels, "+Inf");
    write_line(text, name, "_bucket", &all, counts.count as f64);
    write_line(text, name, "_sum", labels, counts.sum.as_secs_f64());
    write_line(text, name, "_count", labels, counts.count as f64);
}

fn with_bound<'a>(labels: Labels<'a>, bound: &'a str) -> Vec<(&'static str, &'a str)> {
    [labels, &[("le", bound)]].concat()
}

fn write_line(text: &mut String, name: &str, suffix: &str, labels: Labels<'_>, value: f64) {
    text.push_str(name);
    text.push_str(suffix);
    let mut before = '{';
    for (label, value) in labels {
        text.push(before);
        text.push_str(label);
        text.push_str("=\"");
        write_label(text, value);
        text.push('"');
        before = ',';
    }
    let _ = writeln!(text, "}} {value}");
}

fn write_label(text: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        return text.push_str(value);
    }
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::accounting::Registry as Threads;

    /// Lines without their values.
    fn series(text: &str) -> BTreeSet<&str> {
        text.lines()
            .map(|line| match line.starts_with('#') {
                true => line,
                false => line.rsplit_once(' ').map_or(line, |(series, _)| series),
            })
            .collect()
    }

    #[test]
    fn the_text_has_the_same_series_as_a_registry_of_the_prometheus_crate() {
        let routes = ["/a\"b\\c\nd".to_owned(), "/".to_owned()];
        let shop = Metrics::of(Threads::new("shop", routes)).unwrap();
        let admin = Metrics::new("admin").unwrap();
        let _registration = shop.threads().register_current_thread();
        let _layer = shop.layer();
        let registry = super::super::registry([shop.clone(), admin.clone()]).unwrap();
        let expected = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        let text = Exposition::new([shop, admin]).unwrap().encode().unwrap();
        assert_eq!(series(&text), series(&expected));
        let headers = text.lines().filter(|line| line.starts_with("# TYPE"));
        let names: Vec<_> = headers.collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn two_servers_of_one_name_are_refused() {
        let named = |name: &str| Metrics::new(name).unwrap();
        assert!(Exposition::new([named("shop"), named("shop")]).is_err());
        assert!(Exposition::new([named("shop"), named("admin")]).is_ok());
    }
}
