//! Metrics in Prometheus' text format.

use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::Arc;

use super::collector::{Family, Sample, Value};
use super::list::{Metric, THREAD};
#[cfg(target_os = "linux")]
use super::process;
use super::server_metrics::Metrics;
use super::text::{ThreadLines, write_header, write_histogram, write_line};

/// Content of one `/metrics`: the metrics of any number of servers, of the process, and of the
/// application's own registry, whichever library that is of.
///
/// Unlike in a registry, names cannot clash.
///
/// ```
/// use thread_states::Metrics;
/// use thread_states::metrics::Exposition;
///
/// let (shop, admin) = (Metrics::new("shop"), Metrics::new("admin"));
/// let exposition = Exposition::new([shop, admin])?.append(|| "baskets 3\n".to_owned());
/// let text = exposition.encode()?;
/// assert!(text.contains(r#"http_server_active_requests{server="admin"} 0"#));
/// assert!(text.ends_with("baskets 3\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Exposition {
    servers: Vec<Metrics>,
    without_process: bool,
    others: Vec<Arc<Other>>,
    #[cfg(feature = "prometheus")]
    registry: prometheus::Registry,
}

/// Source of other metrics, as text.
type Other = dyn Fn() -> String + Send + Sync;

/// Two servers of an exposition have the same name, so that their series would be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateServer {
    name: String,
}

impl fmt::Display for DuplicateServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name } = self;
        write!(f, "two servers have the name {name:?}; give each its own")
    }
}

impl Error for DuplicateServer {}

/// A collector returned metrics that the text format does not allow.
#[derive(Debug)]
pub struct EncodeError {
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a collector has metrics that are not allowed: {}",
            self.source
        )
    }
}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl Exposition {
    /// Creates the exposition of these servers and, on Linux, of the `process_*` metrics.
    ///
    /// # Errors
    ///
    /// Returns an error if two servers have the same name.
    pub fn new(servers: impl IntoIterator<Item = Metrics>) -> Result<Self, DuplicateServer> {
        let mut exposition = Self::default();
        for server in servers {
            let name = server.threads().server();
            if exposition
                .servers
                .iter()
                .any(|other| other.threads().server() == name)
            {
                return Err(DuplicateServer { name: name.into() });
            }
            exposition.servers.push(server);
        }
        Ok(exposition)
    }

    /// Leaves out the `process_*` metrics, for an application that has them elsewhere.
    #[must_use]
    pub fn without_process(mut self) -> Self {
        self.without_process = true;
        self
    }

    /// Appends what `text` returns at each scrape: metrics of another library, in Prometheus' text format.
    #[must_use]
    pub fn append(mut self, text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.others.push(Arc::new(text));
        self
    }

    /// Adds another collector, of other metrics than those of this crate.
    ///
    /// # Errors
    ///
    /// Returns an error if its metrics are registered already.
    #[cfg(feature = "prometheus")]
    pub fn register(
        &self,
        collector: Box<dyn prometheus::core::Collector>,
    ) -> prometheus::Result<()> {
        self.registry.register(collector)
    }

    /// Returns all metrics in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    ///
    /// Returns an error if another collector returns metrics that Prometheus does not allow.
    pub fn encode(&self) -> Result<String, EncodeError> {
        let samples = Samples::of(&self.servers);
        // Next to the reading of the threads: the kernel adds up their CPU times, and has them in its caches now.
        let process = match self.without_process {
            true => Vec::new(),
            false => process_values(),
        };
        let mut text = samples.encode();
        for (metric, value) in process {
            write_header(&mut text, &metric);
            write_line(&mut text, metric.name, &[], value);
        }
        #[cfg(feature = "prometheus")]
        self.encode_registry(&mut text)?;
        for other in &self.others {
            text.push_str(&other());
        }
        Ok(text)
    }

    #[cfg(feature = "prometheus")]
    fn encode_registry(&self, text: &mut String) -> Result<(), EncodeError> {
        let families = self.registry.gather();
        let encoded = prometheus::TextEncoder::new().encode_utf8(&families, text);
        encoded.map_err(|error| EncodeError {
            source: error.into(),
        })
    }
}

impl Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Exposition");
        debug.field("servers", &self.servers);
        debug.field("others", &self.others.len());
        debug.finish_non_exhaustive()
    }
}

#[cfg(feature = "prometheus")]
impl From<prometheus::Registry> for Exposition {
    /// Shows the metrics of a registry, and no others.
    fn from(registry: prometheus::Registry) -> Self {
        Self {
            registry,
            without_process: true,
            ..Self::default()
        }
    }
}

impl Metrics {
    /// Returns these metrics in Prometheus' text format, version 0.0.4, for a page that the application
    /// serves itself. Several servers, and other metrics: [`Exposition`].
    #[must_use]
    pub fn encode(&self) -> String {
        Samples::of(std::slice::from_ref(self)).encode()
    }
}

#[cfg(target_os = "linux")]
fn process_values() -> Vec<(Metric, f64)> {
    process::values()
}

#[cfg(not(target_os = "linux"))]
fn process_values() -> Vec<(Metric, f64)> {
    Vec::new()
}

/// Servers, each with its times at one moment.
struct Samples<'a>(Vec<(&'a Metrics, Sample<'a>)>);

impl<'a> Samples<'a> {
    /// Reads the times of these servers.
    fn of(servers: &'a [Metrics]) -> Self {
        let samples = servers.iter().map(|server| (server, server.sample()));
        Self(samples.collect())
    }

    /// Returns the metrics of the servers as text.
    fn encode(&self) -> String {
        /// Bytes of the lines of one thread, and of those of a server, roughly.
        const OF_THREAD: usize = 2 * 1024;
        const OF_SERVER: usize = 32 * 1024;

        let threads: usize = self.0.iter().map(|(_, sample)| sample.threads()).sum();
        let mut text = String::with_capacity(threads * OF_THREAD + self.0.len() * OF_SERVER);
        for family in Family::ALL {
            let shown = self.0.iter().filter(|(server, _)| server.has(family));
            write_family(&mut text, family, shown.map(|(_, sample)| sample));
        }
        text
    }
}

fn write_family<'a>(
    text: &mut String,
    family: Family,
    samples: impl Iterator<Item = &'a Sample<'a>>,
) {
    let metric = family.metric();
    let mut has_header = false;
    let mut header = |text: &mut String| {
        if !has_header {
            write_header(text, &metric);
            has_header = true;
        }
    };
    let columns = family.columns();
    for sample in samples {
        if let Some(columns) = &columns {
            let lines = ThreadLines::new(metric.name, &[sample.server()], THREAD, columns);
            sample.thread_times(family, |thread, times| {
                header(text);
                lines.write(text, thread, times);
            });
            continue;
        }
        sample.series(family, &mut |labels, value| {
            header(text);
            match value {
                Value::Number(value) => write_line(text, metric.name, labels, value),
                Value::Histogram { bounds, counts } => {
                    write_histogram(text, metric.name, labels, bounds, counts);
                }
            }
        });
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::collections::BTreeSet;

    use super::super::list::{ALL, PROCESS, REQUEST_DURATION};
    use super::*;
    use crate::accounting::Registry;

    /// Lines without their values.
    #[cfg(feature = "prometheus")]
    fn series(text: &str) -> BTreeSet<&str> {
        text.lines()
            .map(|line| match line.starts_with('#') {
                true => line,
                false => line.rsplit_once(' ').map_or(line, |(series, _)| series),
            })
            .collect()
    }

    fn shop() -> Metrics {
        Metrics::of(Registry::new(
            "shop",
            ["/a\"b\\c\nd", "/"].map(str::to_owned),
        ))
    }

    #[test]
    #[cfg(feature = "prometheus")]
    fn the_text_has_the_same_series_as_a_registry_of_the_prometheus_crate() {
        let (shop, admin) = (shop(), Metrics::new("admin"));
        let _registration = shop.register_current_thread();
        let _layer = shop.layer();
        let registry = prometheus::Registry::new();
        registry.register(Box::new(shop.clone())).unwrap();
        registry.register(Box::new(admin.clone())).unwrap();
        let expected = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        let text = Samples::of(&[shop, admin]).encode();
        assert_eq!(series(&text), series(&expected));
    }

    #[test]
    fn every_metric_has_one_header() {
        let shop = shop();
        let _registration = shop.register_current_thread();
        let _layer = shop.layer();
        let text = Exposition::new([shop, Metrics::new("admin")])
            .unwrap()
            .encode()
            .unwrap();
        let headers = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<_> = headers
            .map(|header| header.split(' ').next().unwrap())
            .collect();
        let expected: BTreeSet<_> = ALL
            .iter()
            .chain(PROCESS)
            .map(|metric| metric.name)
            .collect();
        assert_eq!(names.len(), expected.len());
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
        assert!(text.contains(r#"http_route="/a\"b\\c\nd""#));
    }

    #[test]
    fn families_can_be_left_out() {
        let registry = Registry::new("shop", ["/".to_owned()]);
        let metrics = Metrics::builder(registry).without(REQUEST_DURATION).build();
        let _layer = metrics.layer();
        let exposition = Exposition::new([metrics]).unwrap().without_process();
        let text = exposition.encode().unwrap();
        assert!(
            !text.contains("http_server_request_duration_seconds"),
            "{text}"
        );
        assert!(!text.contains("process_"), "{text}");
        assert!(
            text.contains("http_server_active_requests{server=\"shop\"} 0\n"),
            "{text}"
        );
    }

    #[test]
    fn two_servers_of_one_name_are_refused() {
        let error = Exposition::new([Metrics::new("shop"), Metrics::new("shop")]).unwrap_err();
        assert!(error.to_string().contains("\"shop\""), "{error}");
        assert!(Exposition::new([Metrics::new("shop"), Metrics::new("admin")]).is_ok());
    }
}
