//! The one list of metrics. Dashboards, rules and documents use no other name of ours.

/// A metric: what it is called, what it tells, and how its series differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; the unit is its last part, `_total` aside.
    pub name: &'static str,
    /// What it tells, with its source where that is not obvious.
    pub help: &'static str,
    /// How its values move.
    pub kind: Kind,
    /// The labels of its series, in their order.
    pub labels: &'static [&'static str],
}

/// The label that all metrics of a server have in common: its name.
pub(super) const SERVER: &str = "server";

impl Metric {
    /// The labels in which the series of one server differ.
    pub(super) fn labels_within_server(&self) -> Vec<&'static str> {
        let labels = self.labels.iter().copied();
        labels.filter(|label| *label != SERVER).collect()
    }
}

/// How a metric's values move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
    /// Counts in buckets: series `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// Seconds of a server thread in each of its five states.
pub const THREAD_STATE_SECONDS: Metric = Metric {
    name: "thread_state_seconds_total",
    help: "Seconds a server thread spent in each state: running on a CPU, runnable (wants one, or \
           its time is stolen), blocked (off CPU while it holds a request), awaiting (parked while \
           requests are in flight), idle. The five sum to thread_wall_seconds_total.",
    kind: Kind::Counter,
    labels: &["server", "thread", "state"],
};

/// Seconds since a server thread began.
pub const THREAD_WALL_SECONDS: Metric = Metric {
    name: "thread_wall_seconds_total",
    help: "Seconds since a server thread began: what its states must sum to.",
    kind: Kind::Counter,
    labels: &["server", "thread"],
};

/// How long requests took.
pub const REQUEST_DURATION: Metric = Metric {
    name: "http_server_request_duration_seconds",
    help: "Seconds from the handler's start to the end of its answer. Requests whose client went \
           away count with status 499. Names as in OpenTelemetry's HTTP conventions.",
    kind: Kind::Histogram,
    labels: &[
        "server",
        "http_request_method",
        "http_route",
        "http_response_status_code",
    ],
};

/// Requests in flight.
pub const ACTIVE_REQUESTS: Metric = Metric {
    name: "http_server_active_requests",
    help: "Requests in flight. A connection of the synchronous server is one from accept to close.",
    kind: Kind::Gauge,
    labels: &["server"],
};

/// How long requests waited for a thread.
pub const REQUEST_QUEUE: Metric = Metric {
    name: "http_server_request_queue_seconds",
    help: "Seconds that a request waited for a thread: from the front's X-Request-Start to the \
           handler. Without that header, or with one of more than an hour ago, none is counted.",
    kind: Kind::Histogram,
    labels: &["server"],
};

/// Seconds that a route held a thread.
pub const ROUTE_POLL_SECONDS: Metric = Metric {
    name: "http_route_poll_seconds_total",
    help: "Seconds that a route held a thread, by what the thread did meanwhile: running, runnable \
           or blocked. Holds under 100 microseconds count as running.",
    kind: Kind::Counter,
    labels: &["server", "http_route", "state"],
};

/// Seconds that a route's requests waited without a thread.
pub const ROUTE_AWAIT_SECONDS: Metric = Metric {
    name: "http_route_await_seconds_total",
    help: "Seconds that a route's requests waited without a thread, summed over the requests.",
    kind: Kind::Counter,
    labels: &["server", "http_route"],
};

/// Every metric of this crate; the usual `process_*` metrics come on top.
pub const ALL: &[Metric] = &[
    THREAD_STATE_SECONDS,
    THREAD_WALL_SECONDS,
    REQUEST_DURATION,
    ACTIVE_REQUESTS,
    REQUEST_QUEUE,
    ROUTE_POLL_SECONDS,
    ROUTE_AWAIT_SECONDS,
];

/// The route of requests that match none: one series, whatever paths are asked for.
pub const UNMATCHED: &str = "unmatched";
