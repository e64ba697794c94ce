//! The metrics that only the lab has: names, help texts and labels, each in one place. Those of the
//! thread accounting are in [`thread_states::metrics::list`].

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

/// Seconds of a thread blocked, by what it waits for.
pub const THREAD_BLOCKED_SECONDS: Metric = Metric {
    name: "thread_blocked_seconds_total",
    help: "Seconds a server thread was blocked, by what it waited for: sleep (a timer), lock, socket (e.g. a \
           database's), client (its connection), file, disk, pipe, child (a process), fault (a page), stopped (by a \
           signal or the freezer), other. They sum to thread_state_seconds_total{state=\"blocked\"}.",
    kind: Kind::Counter,
    labels: &["server", "thread", "on"],
};

/// Seconds since a thread's present state began.
pub const THREAD_STATE_SINCE: Metric = Metric {
    name: "thread_state_since_seconds",
    help: "Seconds since a server thread entered its present state; 0 for the states in which it is not.",
    kind: Kind::Gauge,
    labels: &["server", "thread", "state"],
};

/// A thread's number and name.
pub const THREAD_INFO: Metric = Metric {
    name: "thread_info",
    help: "1 for each server thread, with its process number, thread number and name as labels.",
    kind: Kind::Gauge,
    labels: &["server", "thread", "pid", "tid", "comm"],
};

/// Requests that no thread has taken yet.
pub const QUEUED_REQUESTS: Metric = Metric {
    name: "http_server_queued_requests",
    help: "Requests that no thread has taken yet: on connections that wait to be accepted (where=\"accept\"), or \
           unread on accepted ones (where=\"socket\").",
    kind: Kind::Gauge,
    labels: &["server", "where"],
};

/// Age of the oldest request that no thread has taken yet.
pub const OLDEST_QUEUED: Metric = Metric {
    name: "http_server_oldest_queued_seconds",
    help: "Age of the oldest request that no thread has taken yet, in seconds; 0 if there is none.",
    kind: Kind::Gauge,
    labels: &["server"],
};

/// Returns 1 while a watched server has a process.
pub const WATCH_UP: Metric = Metric {
    name: "threadlab_watch_up",
    help: "1 while a watched server has at least one process, else 0.",
    kind: Kind::Gauge,
    labels: &["server"],
};

/// What a watcher cannot read.
pub const WATCH_MISSING: Metric = Metric {
    name: "threadlab_watch_missing",
    help: "1 for each source that the watcher may not read: syscall, fd or mem of the processes, or sock_diag. States \
           that need it count as state=\"unknown\". Absent if nothing is missing.",
    kind: Kind::Gauge,
    labels: &["server", "source"],
};

/// Looks that segments had to decide.
pub const WATCH_TIES: Metric = Metric {
    name: "threadlab_watch_ties_total",
    help: "Looks at a connection at which a request and a response fell into one kernel tick, so that whether the last \
           request is answered was decided by the number of segments.",
    kind: Kind::Counter,
    labels: &["server"],
};

/// Threads that were not watched.
pub const WATCH_LOST: Metric = Metric {
    name: "threadlab_watch_lost_threads_total",
    help: "Times that a thread was not watched because the server had too many.",
    kind: Kind::Counter,
    labels: &["server"],
};

/// CPU time of the watcher.
pub const WATCH_CPU_SECONDS: Metric = Metric {
    name: "threadlab_watch_cpu_seconds_total",
    help: "CPU time that watching has cost, in seconds, without the export of metrics.",
    kind: Kind::Counter,
    labels: &[],
};

/// Reads by the watcher.
pub const WATCH_READS: Metric = Metric {
    name: "threadlab_watch_reads_total",
    help: "Times that the watcher read the counters of all threads (what=\"tick\"), looked at the connections \
           (what=\"look\"), and looked for processes and threads (what=\"scan\").",
    kind: Kind::Counter,
    labels: &["what"],
};

/// Time between two reads by the watcher.
pub const WATCH_PERIOD: Metric = Metric {
    name: "threadlab_watch_period_seconds",
    help: "Seconds from one tick or look of the watcher to the next, as its budget allows at present.",
    kind: Kind::Gauge,
    labels: &["what"],
};

/// Every metric of the lab.
pub const ALL: &[Metric] = &[
    ACCEPT_QUEUE_LENGTH,
    ACCEPT_QUEUE_LIMIT,
    BLOCKING_POOL_LIMIT,
    EXPERIMENT_RUNNING,
    THREAD_BLOCKED_SECONDS,
    THREAD_STATE_SINCE,
    THREAD_INFO,
    QUEUED_REQUESTS,
    OLDEST_QUEUED,
    WATCH_UP,
    WATCH_MISSING,
    WATCH_TIES,
    WATCH_LOST,
    WATCH_CPU_SECONDS,
    WATCH_READS,
    WATCH_PERIOD,
];
