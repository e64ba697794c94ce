//! The metrics of this crate: names, help texts and labels, each in one place.

/// Description of a metric, without its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name, which ends with the unit, or with the unit and `_total`.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Type of the metric.
    pub kind: MetricKind,
    /// Names of the labels, in the order in which `/metrics` shows them.
    pub labels: &'static [&'static str],
}

/// Type of a metric, as Prometheus defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
    /// Observations counted in buckets: the series `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl MetricKind {
    /// Returns the name that Prometheus' text format uses, e.g. `counter`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Label for the name of the server; every metric of this crate has it.
pub(super) const SERVER: &str = "server";
/// Label for the index of a server thread.
pub(super) const THREAD: &str = "thread";
/// Label for a thread state.
pub(super) const STATE: &str = "state";
/// Label for the thing that a blocked thread waits for.
pub(super) const ON: &str = "on";
/// Label for the route pattern, as OpenTelemetry names it.
pub(super) const HTTP_ROUTE: &str = "http_route";
/// Label for the method of a request.
pub(super) const METHOD: &str = "http_request_method";
/// Label for the status of a response.
pub(super) const STATUS: &str = "http_response_status_code";

/// Time of each server thread in its five states.
pub const THREAD_STATE_SECONDS: Metric = Metric {
    name: "thread_state_seconds_total",
    help: "Time that a server thread spent in each state: running (on a CPU), runnable (waiting \
           for a CPU, stolen time included), blocked (off CPU while it holds a request), awaiting \
           (parked while requests are in flight), idle (parked, no request in flight). The five \
           add up to thread_wall_seconds_total.",
    kind: MetricKind::Counter,
    labels: &[SERVER, THREAD, STATE],
};

/// Wall time of each server thread.
pub const THREAD_WALL_SECONDS: Metric = Metric {
    name: "thread_wall_seconds_total",
    help: "Wall time since a server thread started: the sum of its five states.",
    kind: MetricKind::Counter,
    labels: &[SERVER, THREAD],
};

/// Blocked time of each server thread by what it waited for.
pub const THREAD_BLOCKED_SECONDS: Metric = Metric {
    name: "thread_blocked_seconds_total",
    help: "Time that a server thread was blocked, by what it waited for: sleep (a timer), lock, socket \
           (e.g. a database's), client (its connection), file, disk, pipe, child (a process), fault (a \
           page), stopped (by a signal or the freezer), other (anything else, and what could not be \
           read). They sum to thread_state_seconds_total{state=\"blocked\"}. What a thread waits for is \
           read at each scrape; blocks that no scrape finds count as what the last 60 s have shown.",
    kind: MetricKind::Counter,
    labels: &[SERVER, THREAD, ON],
};

/// Age of each server thread's present state.
pub const THREAD_STATE_SINCE: Metric = Metric {
    name: "thread_state_since_seconds",
    help: "Time since a server thread entered its present state; 0 for the states in which it is not. \
           A thread that enters a state several times between two scrapes seems to have been in it for \
           longer, by less than the time between them.",
    kind: MetricKind::Gauge,
    labels: &[SERVER, THREAD, STATE],
};

/// Numbers and name of each server thread.
pub const THREAD_INFO: Metric = Metric {
    name: "thread_info",
    help: "1 for each server thread, with its process number, thread number and name as labels.",
    kind: MetricKind::Gauge,
    labels: &[SERVER, THREAD, "pid", "tid", "comm"],
};

/// Duration of requests.
pub const REQUEST_DURATION: Metric = Metric {
    name: "http_server_request_duration_seconds",
    help: "Time from the start of the handler to the end of the response. A request whose client \
           disconnected before the response began has status 499. Names follow OpenTelemetry's HTTP \
           conventions.",
    kind: MetricKind::Histogram,
    labels: &[SERVER, METHOD, HTTP_ROUTE, STATUS],
};

/// Requests in flight.
pub const ACTIVE_REQUESTS: Metric = Metric {
    name: "http_server_active_requests",
    help: "Requests in flight. On a server with one thread per request, a connection counts \
           while it has a thread.",
    kind: MetricKind::Gauge,
    labels: &[SERVER],
};

/// Time that requests waited for a thread.
pub const REQUEST_QUEUE: Metric = Metric {
    name: "http_server_request_queue_seconds",
    help: "Time that a request waited for a thread: from the proxy's X-Request-Start header to the \
           start of the handler. Requests without that header are not counted, nor are those in \
           http_server_request_start_rejected_total.",
    kind: MetricKind::Histogram,
    labels: &[SERVER],
};

/// Requests whose queue time is unknown although a proxy sent a header.
pub const REQUEST_START_REJECTED: Metric = Metric {
    name: "http_server_request_start_rejected_total",
    help: "Requests whose X-Request-Start header is not valid: not a time since 1970, more than \
           1 ms in the future, more than an hour ago, or sent twice.",
    kind: MetricKind::Counter,
    labels: &[SERVER],
};

/// Time that each route occupied threads.
pub const ROUTE_POLL_SECONDS: Metric = Metric {
    name: "http_route_poll_seconds_total",
    help: "Time that a route occupied a thread, by the state of the thread meanwhile: running, \
           runnable or blocked. Polls shorter than 100 microseconds count as running.",
    kind: MetricKind::Counter,
    labels: &[SERVER, HTTP_ROUTE, STATE],
};

/// Long holds of threads by each route.
pub const ROUTE_HOLD_SECONDS: Metric = Metric {
    name: "http_route_hold_seconds",
    help: "Time for which a route held a thread at a stretch, by the state of the thread meanwhile: \
           running, runnable or blocked. Only holds longer than 100 microseconds in that state are \
           counted, when they end.",
    kind: MetricKind::Histogram,
    labels: &[SERVER, HTTP_ROUTE, STATE],
};

/// Time that the requests of each route waited for something else than a thread.
pub const ROUTE_AWAIT_SECONDS: Metric = Metric {
    name: "http_route_await_seconds_total",
    help: "Time that the requests of a route waited without occupying a thread, until they were \
           woken, summed over the requests.",
    kind: MetricKind::Counter,
    labels: &[SERVER, HTTP_ROUTE],
};

/// Time that the requests of each route waited for a thread after they were woken.
pub const ROUTE_READY_SECONDS: Metric = Metric {
    name: "http_route_ready_seconds_total",
    help: "Time that the requests of a route waited for a thread after what they awaited was there: \
           from the wake-up to the next poll, summed over the requests. High where another route \
           holds the threads.",
    kind: MetricKind::Counter,
    labels: &[SERVER, HTTP_ROUTE],
};

/// Calls that wait for a thread of a blocking pool.
pub const BLOCKING_POOL_QUEUED: Metric = Metric {
    name: "blocking_pool_queued_calls",
    help: "Calls that wait for a thread of tokio's blocking pool, of those that its threads \
           made with thread_states::spawn_blocking.",
    kind: MetricKind::Gauge,
    labels: &[SERVER],
};

/// Time that calls waited for a thread of a blocking pool.
pub const BLOCKING_POOL_WAIT: Metric = Metric {
    name: "blocking_pool_wait_seconds",
    help: "Time that calls waited for a thread of tokio's blocking pool, of those that its threads \
           made with thread_states::spawn_blocking. High where the pool is full.",
    kind: MetricKind::Histogram,
    labels: &[SERVER],
};

/// Every metric of a server. [`PROCESS`] has those of the process.
pub const ALL: &[Metric] = &[
    THREAD_STATE_SECONDS,
    THREAD_WALL_SECONDS,
    THREAD_BLOCKED_SECONDS,
    THREAD_STATE_SINCE,
    THREAD_INFO,
    REQUEST_DURATION,
    ACTIVE_REQUESTS,
    REQUEST_QUEUE,
    REQUEST_START_REJECTED,
    ROUTE_POLL_SECONDS,
    ROUTE_HOLD_SECONDS,
    ROUTE_AWAIT_SECONDS,
    ROUTE_READY_SECONDS,
    BLOCKING_POOL_QUEUED,
    BLOCKING_POOL_WAIT,
];

/// Gauge or counter of the process, without labels.
const fn process(name: &'static str, help: &'static str, kind: MetricKind) -> Metric {
    Metric {
        name,
        help,
        kind,
        labels: &[],
    }
}

/// CPU time of the process.
pub const PROCESS_CPU_SECONDS: Metric = process(
    "process_cpu_seconds_total",
    "Total user and system CPU time spent in seconds.",
    MetricKind::Counter,
);

/// Limit of open file descriptors.
pub const PROCESS_MAX_FDS: Metric = process(
    "process_max_fds",
    "Maximum number of open file descriptors.",
    MetricKind::Gauge,
);

/// Open file descriptors.
pub const PROCESS_OPEN_FDS: Metric = process(
    "process_open_fds",
    "Number of open file descriptors.",
    MetricKind::Gauge,
);

/// Memory of the process that is in RAM.
pub const PROCESS_RESIDENT_BYTES: Metric = process(
    "process_resident_memory_bytes",
    "Resident memory size in bytes.",
    MetricKind::Gauge,
);

/// Start of the process.
pub const PROCESS_START_SECONDS: Metric = process(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    MetricKind::Gauge,
);

/// Threads of the process.
pub const PROCESS_THREADS: Metric = process(
    "process_threads",
    "Number of OS threads in the process.",
    MetricKind::Gauge,
);

/// Address space of the process.
pub const PROCESS_VIRTUAL_BYTES: Metric = process(
    "process_virtual_memory_bytes",
    "Virtual memory size in bytes.",
    MetricKind::Gauge,
);

/// The metrics of the process, which Prometheus' client libraries have in common. Linux only.
pub const PROCESS: &[Metric] = &[
    PROCESS_CPU_SECONDS,
    PROCESS_MAX_FDS,
    PROCESS_OPEN_FDS,
    PROCESS_RESIDENT_BYTES,
    PROCESS_START_SECONDS,
    PROCESS_THREADS,
    PROCESS_VIRTUAL_BYTES,
];

/// Route of all requests that match no route: one series for all such paths.
pub const UNMATCHED: &str = "unmatched";
