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

/// Maximum number of threads for blocking calls.
pub const BLOCKING_POOL_LIMIT: Metric = Metric {
    name: "blocking_pool_limit",
    help: "Maximum number of threads that a server may start for blocking calls (tokio's \
           spawn_blocking). They are not server threads and have no states.",
    kind: MetricKind::Gauge,
    labels: &["server"],
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
    BLOCKING_POOL_LIMIT,
    EXPERIMENT_RUNNING,
];
