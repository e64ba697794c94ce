//! The metrics as instruments of OpenTelemetry.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::super::collector::{Family, Value};
use super::super::list::MetricKind;
use super::super::server_metrics::Metrics;

impl Metrics {
    /// Creates an observable instrument for each counter and gauge, under its name here. The meter's provider
    /// reads them at each collection, for as long as it lives.
    ///
    /// The histograms are not among them: OpenTelemetry has no instrument that takes buckets which were counted
    /// elsewhere. [`Self::encode`] has them.
    ///
    /// ```
    /// use opentelemetry::metrics::MeterProvider;
    /// use thread_states::Metrics;
    ///
    /// # fn example(provider: &impl MeterProvider) {
    /// Metrics::new("shop").observe(&provider.meter("thread-states"));
    /// # }
    /// ```
    pub fn observe(&self, meter: &Meter) {
        for family in Family::ALL.into_iter().filter(|family| self.has(*family)) {
            let (metric, metrics) = (family.metric(), self.clone());
            let callback = move |observer: &dyn AsyncInstrument<f64>| {
                metrics.sample().series(family, &mut |labels, value| {
                    if let Value::Number(value) = value {
                        let attribute = |(name, value): &(&'static str, &str)| {
                            KeyValue::new(*name, (*value).to_owned())
                        };
                        let attributes: Vec<_> = labels.iter().map(attribute).collect();
                        observer.observe(value, &attributes);
                    }
                });
            };
            // The provider keeps the callback; the instrument is only its handle.
            match metric.kind {
                MetricKind::Counter => {
                    let counter = meter.f64_observable_counter(metric.name);
                    let counter = counter.with_description(metric.help);
                    let _ = counter.with_callback(callback).build();
                }
                MetricKind::Gauge => {
                    let gauge = meter.f64_observable_gauge(metric.name);
                    let gauge = gauge.with_description(metric.help);
                    let _ = gauge.with_callback(callback).build();
                }
                MetricKind::Histogram => {}
            }
        }
    }
}
