//! List of metrics of watched servers, besides those that they share with the lab's own servers.

use thread_states::metrics::list::{Metric, MetricKind};

/// Returns 1 while a watched server has a process.
pub const WATCH_UP: Metric = Metric {
    name: "threadlab_watch_up",
    help: "1 while a watched server has at least one process, else 0.",
    kind: MetricKind::Gauge,
    labels: &["server"],
};

/// Data that a watcher cannot read.
pub const WATCH_MISSING: Metric = Metric {
    name: "threadlab_watch_missing",
    help: "1 for each source that the watcher may not read: syscall, fd or mem of the processes, sock_diag, or netns \
           (sock_diag of another network namespace). States that need it count as state=\"unknown\". Absent if nothing is \
           missing.",
    kind: MetricKind::Gauge,
    labels: &["server", "source"],
};

/// Looks that segments had to decide.
pub const WATCH_TIES: Metric = Metric {
    name: "threadlab_watch_ties_total",
    help: "Looks at a connection at which a request and a response fell into one kernel tick, so that whether the last \
           request is answered was decided by the number of segments.",
    kind: MetricKind::Counter,
    labels: &["server"],
};

/// Threads that were not watched.
pub const WATCH_LOST: Metric = Metric {
    name: "threadlab_watch_lost_threads_total",
    help: "Times that a thread was not watched because the server had too many.",
    kind: MetricKind::Counter,
    labels: &["server"],
};

/// CPU time of the watcher.
pub const WATCH_CPU_SECONDS: Metric = Metric {
    name: "threadlab_watch_cpu_seconds_total",
    help: "CPU time that watching has cost, in seconds, without the export of metrics.",
    kind: MetricKind::Counter,
    labels: &[],
};

/// Reads by the watcher.
pub const WATCH_READS: Metric = Metric {
    name: "threadlab_watch_reads_total",
    help: "Times that the watcher read the counters of the threads that had moved (what=\"tick\"), looked at the connections \
           (what=\"look\"), and looked for processes and threads (what=\"scan\").",
    kind: MetricKind::Counter,
    labels: &["what"],
};

/// Time between two reads by the watcher.
pub const WATCH_PERIOD: Metric = Metric {
    name: "threadlab_watch_period_seconds",
    help: "Seconds from one tick or look of the watcher to the next, as its budget allows at present.",
    kind: MetricKind::Gauge,
    labels: &["what"],
};

/// CPU pressure of the machine.
pub const HOST_CPU_PRESSURE: Metric = Metric {
    name: "host_cpu_pressure_ratio",
    help: "Share of the last 10 s in which at least one thread of the machine waited for a CPU (/proc/pressure/cpu). Near \
           1, the machine is short of CPUs, and time in the state runnable is not the server's fault. Absent if the kernel \
           does not report it.",
    kind: MetricKind::Gauge,
    labels: &[],
};

/// Every metric of this list.
pub const ALL: &[Metric] = &[
    HOST_CPU_PRESSURE,
    WATCH_UP,
    WATCH_MISSING,
    WATCH_TIES,
    WATCH_LOST,
    WATCH_CPU_SECONDS,
    WATCH_READS,
    WATCH_PERIOD,
];
