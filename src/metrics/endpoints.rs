//! The endpoints of the metrics port. `docs/metrics.md` and its test use this list.

/// Description of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Method of the request.
    pub method: &'static str,
    /// Path, with parameters in braces.
    pub path: &'static str,
    /// Media type of the response body; empty if the response has none.
    pub media_type: &'static str,
    /// Response, and its status if that is not always 200.
    pub response: &'static str,
}

/// Every endpoint of the metrics port.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/metrics",
        media_type: "text/plain; version=0.0.4",
        response: "All metrics of the process in Prometheus' text format.",
    },
    Endpoint {
        method: "GET",
        path: "/healthz",
        media_type: "text/plain; charset=utf-8",
        response: "`alive`, as long as the process is alive.",
    },
    Endpoint {
        method: "GET",
        path: "/readyz",
        media_type: "text/plain; charset=utf-8",
        response: "`accepting` while the servers accept connections; status 503 before that and \
                   during a shutdown.",
    },
    Endpoint {
        method: "GET",
        path: "/threads",
        media_type: "application/json",
        response: "Array with one object per server, with the fields `server`, `active_requests`, \
                   `accept_queue` and `threads` of an event (below). `?server=NAME` selects one \
                   server; status 404 if there is no server with this name.",
    },
    Endpoint {
        method: "GET",
        path: "/threads/stream",
        media_type: "text/event-stream",
        response: "Server-sent events of one server, ten per second, in the format below. \
                   `?server=NAME` selects the server, by default the first one; status 404 if there \
                   is no server with this name, 503 beyond 128 viewers.",
    },
    Endpoint {
        method: "GET",
        path: "/docs/",
        media_type: "text/html; charset=utf-8",
        response: "List of the pages of `docs/`.",
    },
    Endpoint {
        method: "GET",
        path: "/docs/{*file}",
        media_type: "text/html; charset=utf-8",
        response: "A page of `docs/` as HTML, or one of its images; status 404 for an unknown file.",
    },
    Endpoint {
        method: "POST",
        path: "/experiments/{name}",
        media_type: "",
        response: "Announces that an experiment runs: sets `experiment_running` to 1 for 3 s. \
                   Status 204, or 404 for an unknown name.",
    },
];
