//! The metrics that others export: nginx, its exporter, the Prometheus client library, Prometheus.

// Each test binary uses a part of this.
#![allow(dead_code)]

/// Histograms that nginx exports by the script `nginx/metrics.js`, with their labels.
pub(crate) const NGINX: &[(&str, &[&str])] = &[
    (
        "nginx_http_request_duration_seconds",
        &["server", "http_response_status_code"],
    ),
    ("nginx_upstream_connect_duration_seconds", &["server"]),
    ("nginx_upstream_header_duration_seconds", &["server"]),
    ("nginx_upstream_response_duration_seconds", &["server"]),
];

/// Metrics of nginx-prometheus-exporter that the dashboards use, from nginx's `stub_status`, with
/// their types.
pub(crate) const NGINX_EXPORTER: &[(&str, &str)] = &[
    ("nginx_connections_accepted", "counter"),
    ("nginx_connections_handled", "counter"),
    ("nginx_connections_reading", "gauge"),
    ("nginx_connections_waiting", "gauge"),
    ("nginx_connections_writing", "gauge"),
    ("nginx_http_requests_total", "counter"),
    ("nginx_up", "gauge"),
];

/// Metrics of the Prometheus client library and of Prometheus that the dashboards use.
pub(crate) const OTHERS: &[&str] = &[
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "up",
    "scrape_duration_seconds",
];
