//! The metrics that only the lab has: names, help texts and labels, each in one place. Those of the
//! thread accounting are in [`thread_states::metrics::list`].

use prometheus::{IntGaugeVec, Opts};
use thread_states::metrics::list::{Metric, MetricKind};

/// Connections in the accept queue.
pub const ACCEPT_QUEUE_LENGTH: Metric = Metric {
    name: "tcp_accept_queue_length",
    help: "Connections of a server that wait in the kernel's accept queue (TCP_INFO of its \
           listening sockets).",
    kind: MetricKind::Gauge,
    labels: &["server"],
};

/// Maximum length of the accept queue.
pub const ACCEPT_QUEUE_LIMIT: Metric = Metric {
    name: "tcp_accept_queue_limit",
    help: "Maximum number of connections in a server's accept queue (TCP_INFO of its listening \
           sockets).",
    kind: MetricKind::Gauge,
    labels: &["server"],
};

/// Requests that no thread has taken yet.
pub const QUEUED_REQUESTS: Metric = Metric {
    name: "http_server_queued_requests",
    help: "Requests that no thread has taken yet: on connections that wait to be accepted (where=\"accept\"), or \
           unread on accepted ones (where=\"socket\"). Absent if the kernel does not report them.",
    kind: MetricKind::Gauge,
    labels: &["server", "where"],
};

/// Age of the oldest request that no thread has taken yet.
pub const OLDEST_QUEUED: Metric = Metric {
    name: "http_server_oldest_queued_seconds",
    help: "Age of the oldest request that no thread has taken yet, in seconds; 0 if there is none.",
    kind: MetricKind::Gauge,
    labels: &["server"],
};

/// Maximum number of threads for blocking calls.
pub const BLOCKING_POOL_LIMIT: Metric = Metric {
    name: "blocking_pool_limit",
    help: "Maximum number of threads that a server may start for blocking calls (tokio's \
           spawn_blocking). They are not server threads and have no states.",
    kind: MetricKind::Gauge,
    labels: &["server"],
};

/// Connections of a connection pool.
pub const DATABASE_POOL_CONNECTIONS: Metric = Metric {
    name: "database_pool_connections",
    help: "Open connections of a server's connection pool, by driver: in use by a request \
           (state=\"used\") or not (state=\"idle\").",
    kind: MetricKind::Gauge,
    labels: &["server", "driver", "state"],
};

/// Maximum number of connections of a connection pool.
pub const DATABASE_POOL_LIMIT: Metric = Metric {
    name: "database_pool_limit",
    help: "Maximum number of connections of a server's connection pool, by driver. The driver \
           asynchronous is missing if the database is SQLite, which has none.",
    kind: MetricKind::Gauge,
    labels: &["server", "driver"],
};

/// Requests that wait for a connection.
pub const DATABASE_POOL_WAITING: Metric = Metric {
    name: "database_pool_waiting",
    help: "Requests that wait for a connection of a server's connection pool, by driver.",
    kind: MetricKind::Gauge,
    labels: &["server", "driver"],
};

/// Wait of requests for a connection.
pub const DATABASE_POOL_WAIT_SECONDS: Metric = Metric {
    name: "database_pool_wait_seconds",
    help: "Time that a request waited for a connection of a server's connection pool, by driver, \
           with the time to open one; also if it got none.",
    kind: MetricKind::Histogram,
    labels: &["server", "driver"],
};

/// Experiments that are running.
pub const EXPERIMENT_RUNNING: Metric = Metric {
    name: "experiment_running",
    help: "1 while the experiment runs, otherwise 0. Its runner announces it every second; 3 s after \
           the last announcement it counts as ended.",
    kind: MetricKind::Gauge,
    labels: &["experiment"],
};

/// Creates a gauge with the name, the help text and the labels of a metric.
///
/// # Errors
///
/// Returns an error if Prometheus does not allow the name of the metric or of a label.
pub(crate) fn gauge(metric: &Metric) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(metric.name, metric.help), metric.labels)
}

/// Every metric of the lab.
pub const ALL: &[Metric] = &[
    ACCEPT_QUEUE_LENGTH,
    ACCEPT_QUEUE_LIMIT,
    QUEUED_REQUESTS,
    OLDEST_QUEUED,
    BLOCKING_POOL_LIMIT,
    DATABASE_POOL_CONNECTIONS,
    DATABASE_POOL_LIMIT,
    DATABASE_POOL_WAITING,
    DATABASE_POOL_WAIT_SECONDS,
    EXPERIMENT_RUNNING,
];
