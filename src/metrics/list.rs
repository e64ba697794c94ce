//! The list of metrics that only the lab has. Dashboards, rules and documents use these and
//! [`thread_states::metrics::list`], and no other name of ours.

use thread_states::metrics::list::{Kind, Metric};

/// Connections that wait to be accepted.
pub const ACCEPT_QUEUE_LENGTH: Metric = Metric {
    name: "tcp_accept_queue_length",
    help: "Connections that the kernel holds for a server until a thread accepts them (TCP_INFO of \
           its listening sockets).",
    kind: Kind::Gauge,
    labels: &["server"],
};

/// How many connections may wait to be accepted.
pub const ACCEPT_QUEUE_LIMIT: Metric = Metric {
    name: "tcp_accept_queue_limit",
    help: "How many connections the kernel holds for a server at most (TCP_INFO of its listening \
           sockets).",
    kind: Kind::Gauge,
    labels: &["server"],
};

/// How many threads may block beside a server's own.
pub const BLOCKING_POOL_LIMIT: Metric = Metric {
    name: "blocking_pool_limit",
    help: "How many threads a server has at most for calls that block, beside its own (tokio's \
           spawn_blocking). They are no server threads and have no states.",
    kind: Kind::Gauge,
    labels: &["server"],
};

/// Whether an experiment runs.
pub const EXPERIMENT_RUNNING: Metric = Metric {
    name: "experiment_running",
    help: "1 while this experiment runs: its runner says so every second, and 3 s after it last \
           did, the experiment is over; else 0.",
    kind: Kind::Gauge,
    labels: &["experiment"],
};

/// Every metric of the lab.
pub const ALL: &[Metric] = &[
    ACCEPT_QUEUE_LENGTH,
    ACCEPT_QUEUE_LIMIT,
    BLOCKING_POOL_LIMIT,
    EXPERIMENT_RUNNING,
];
