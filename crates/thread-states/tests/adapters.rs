//! The metrics in other metrics libraries, beside an application's own with the same names.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
use thread_states::metrics::Exposition;
use thread_states::metrics::list::{REQUEST_DURATION, THREAD_STATE_SECONDS};
use thread_states::{Metrics, Registration, Registry, hold};

/// Metrics with a long hold of 20 ms by the route `/report`.
fn stalled() -> (Metrics, Registration) {
    let metrics = Metrics::of(Registry::new("shop", ["/report".to_owned()]));
    let registration = metrics.register_current_thread();
    let _layer = metrics.layer();
    let hold = hold(0);
    thread::sleep(Duration::from_millis(20));
    drop(hold);
    (metrics, registration)
}

/// Values of the series that do not change by themselves, without their help texts.
fn settled(text: &str) -> BTreeMap<&str, f64> {
    let series = text.lines().filter(|line| {
        (line.starts_with("http_route_hold") || line.starts_with("http_server_"))
            && line.contains("server=\"shop\"")
    });
    series
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series, value.parse().unwrap()))
        .collect()
}

#[test]
fn prometheus_client_has_the_same_values_as_the_text() {
    let (metrics, _registration) = stalled();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(
        text.contains("# TYPE thread_state_seconds counter\n"),
        "{text}"
    );
    assert!(
        text.contains("thread_state_seconds_total{server=\"shop\",thread=\"0\",state=\"blocked\"}")
    );
    let (theirs, ours) = (settled(&text), metrics.encode());
    let ours = settled(&ours);
    let names = |all: &BTreeMap<&str, f64>| -> Vec<String> {
        all.keys().map(|series| sorted_labels(series)).collect()
    };
    let (mut their_names, mut our_names) = (names(&theirs), names(&ours));
    their_names.sort();
    our_names.sort();
    assert_eq!(their_names, our_names);
    let holds =
        "http_route_hold_seconds_count{server=\"shop\",http_route=\"/report\",state=\"blocked\"}";
    assert_eq!((theirs[holds], ours[holds]), (1.0, 1.0));
}

/// A series with its labels in alphabetic order, and `le` as a number.
fn sorted_labels(series: &str) -> String {
    let (name, labels) = series.split_once('{').unwrap();
    let labels: BTreeSet<_> = labels
        .trim_end_matches('}')
        .split(',')
        .map(|label| label.replace(".0\"", "\""))
        .collect();
    format!("{name}{labels:?}")
}

#[test]
fn a_registry_with_a_metric_of_the_same_name_and_other_labels_is_no_obstacle() {
    let registry = prometheus::Registry::new();
    let own = prometheus::histogram_opts!(REQUEST_DURATION.name, "the application's");
    let own = prometheus::HistogramVec::new(own, &["path"]).unwrap();
    own.with_label_values(&["/"]).observe(0.1);
    registry.register(Box::new(own)).unwrap();
    let (metrics, _registration) = stalled();
    assert!(registry.register(Box::new(metrics.clone())).is_err());
    // Without that one, both fit into one registry.
    let others = Metrics::builder(metrics.threads().clone()).without(REQUEST_DURATION);
    registry.register(Box::new(others.build())).unwrap();
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    assert!(
        text.contains("http_server_request_duration_seconds_count{path=\"/\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("http_route_hold_seconds_count{server=\"shop\",http_route=\"/report\",state=\"blocked\"} 1\n"), "{text}");
    // And a page of its own has them all.
    let page = Exposition::new([metrics]).unwrap().encode().unwrap();
    assert!(
        page.contains("http_server_request_duration_seconds_count{server=\"shop\""),
        "{page}"
    );
}

/// Text of a recorder of the facade after a recording.
fn recorded(metrics: &Metrics, recorder: &PrometheusRecorder) -> String {
    metrics::with_local_recorder(recorder, || metrics.record());
    recorder.handle().render()
}

#[test]
fn the_facade_has_the_same_series_and_values_as_the_text() {
    let (metrics, _registration) = stalled();
    let recorder = PrometheusBuilder::new().build_recorder();
    for holds in 1..=2 {
        let (theirs, ours) = (recorded(&metrics, &recorder), metrics.encode());
        let series = |text| -> BTreeMap<String, f64> {
            let settled = settled(text).into_iter();
            settled
                .map(|(series, value)| (sorted_labels(series), value))
                .collect()
        };
        assert_eq!(series(&theirs), series(&ours));
        let count = "http_route_hold_seconds_bucket{server=\"shop\",http_route=\"/report\",state=\"blocked\",le=\"+Inf\"}";
        assert!(theirs.contains(&format!("{count} {holds}\n")), "{theirs}");
        assert!(theirs.contains("# TYPE http_route_hold_seconds_bucket counter\n"));
        assert!(theirs.contains("# TYPE thread_state_seconds_total gauge\n"));
        let hold = hold(0);
        thread::sleep(Duration::from_millis(20));
        drop(hold);
    }
    let names = |text: &str| -> BTreeSet<String> {
        let series = text.lines().filter(|line| line.contains("{server="));
        series
            .map(|line| line[..line.find('{').unwrap()].to_owned())
            .collect()
    };
    assert_eq!(
        names(&recorded(&metrics, &recorder)),
        names(&metrics.encode())
    );
}

#[test]
fn the_facade_gets_names_as_they_are_and_no_metrics_that_are_left_out() {
    let registry = Registry::new("the \"shop\" \\ 1", []);
    let metrics = Metrics::builder(registry).without(REQUEST_DURATION).build();
    let text = recorded(&metrics, &PrometheusBuilder::new().build_recorder());
    let active = "http_server_active_requests{server=\"the \\\"shop\\\" \\\\ 1\"} 0\n";
    assert!(
        text.contains(active) && metrics.encode().contains(active),
        "{text}"
    );
    assert!(!text.contains(REQUEST_DURATION.name), "{text}");
}

#[test]
fn gauges_of_a_thread_that_has_ended_are_zero_in_the_facade() {
    let (metrics, registration) = stalled();
    let recorder = PrometheusBuilder::new().build_recorder();
    let info = |text: String| {
        let mut lines = text.lines().filter(|line| line.starts_with("thread_info{"));
        let line = lines.next().unwrap();
        assert_eq!(lines.next(), None);
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    assert_eq!(info(recorded(&metrics, &recorder)), "1");
    drop(registration);
    assert!(!metrics.encode().contains("thread_info{"));
    let text = recorded(&metrics, &recorder);
    // Counters keep their values.
    assert!(text.contains("http_route_hold_seconds_count{server=\"shop\",http_route=\"/report\",state=\"blocked\"} 1\n"), "{text}");
    assert_eq!(info(text), "0");
}

#[test]
fn opentelemetry_observes_counters_and_gauges() {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter.clone())
        .build();
    let (metrics, _registration) = stalled();
    metrics.observe(&provider.meter("thread-states"));
    provider.force_flush().unwrap();
    let exported = exporter.get_finished_metrics().unwrap();
    let found = exported
        .iter()
        .flat_map(|resource| resource.scope_metrics());
    let found: Vec<_> = found.flat_map(|scope| scope.metrics()).collect();
    let names: BTreeSet<_> = found.iter().map(|metric| metric.name()).collect();
    assert!(names.contains("http_server_active_requests"), "{names:?}");
    assert!(!names.contains(REQUEST_DURATION.name), "{names:?}");
    let states = found
        .iter()
        .find(|metric| metric.name() == THREAD_STATE_SECONDS.name);
    let AggregatedMetrics::F64(MetricData::Sum(states)) = states.unwrap().data() else {
        panic!("not a counter of seconds");
    };
    assert!(states.is_monotonic());
    let blocked = states.data_points().find(|point| {
        point
            .attributes()
            .any(|attribute| attribute.value.as_str() == "blocked")
    });
    let blocked = blocked.unwrap().value();
    assert!((0.015..10.0).contains(&blocked), "{blocked}");
}
