//! Metrics in Prometheus' text format.

use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::Arc;

use super::list::Metric;
use super::page::Page;
#[cfg(target_os = "linux")]
use super::process;
use super::server_metrics::Metrics;

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

    /// Appends what `text` returns at each scrape: metrics of another library, in Prometheus' text format. A missing
    /// line break at its end is added.
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
        Ok(self.page()?.into_text())
    }

    /// Returns the same as a page that can be written piece by piece.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`].
    pub(super) fn page(&self) -> Result<Page, EncodeError> {
        let mut page = Page::of(&self.servers);
        if !self.without_process {
            // Next to the reading of the threads: the kernel adds up their CPU times, and has them in its caches now.
            for (metric, value) in process_values() {
                page.append_metric(&metric, value);
            }
        }
        #[cfg(feature = "prometheus")]
        self.encode_registry(page.rest())?;
        for other in &self.others {
            append_lines(page.rest(), &other());
        }
        Ok(page)
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

/// Appends text. Its last line would otherwise continue in the next text, or be cut off for Prometheus.
fn append_lines(text: &mut String, lines: &str) {
    text.push_str(lines);
    if !lines.is_empty() && !lines.ends_with('\n') {
        text.push('\n');
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
        Page::of(std::slice::from_ref(self)).into_text()
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
        let text = Page::of(&[shop, admin]).into_text();
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
    fn appended_texts_end_with_a_line_break() {
        let texts = ["baskets 3", "", "visits 4\n", "sales 5"];
        let append =
            |exposition: Exposition, text: &'static str| exposition.append(move || text.to_owned());
        let exposition = Exposition::default().without_process();
        let exposition = texts.into_iter().fold(exposition, append);
        let text = exposition.encode().unwrap();
        assert_eq!(text, "baskets 3\nvisits 4\nsales 5\n");
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
