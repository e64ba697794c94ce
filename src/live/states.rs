//! The threads of a server as JSON.

use serde::{Serialize, Serializer};
use thread_states::waits::On;
use thread_states::{State, Times, Timestamp};

use super::readings::ThreadNow;
use super::watched_server::WatchedServer;
use crate::metrics::{AcceptQueue, RequestQueue};

/// A server and its threads at one moment: an element of `/threads`, and a part of each event of
/// `/threads/stream`.
#[derive(Debug, Serialize)]
pub(super) struct ServerStates {
    /// Name of the server.
    pub(super) server: String,
    /// Number of requests in flight.
    pub(super) active_requests: u64,
    /// `null` if the kernel does not report it.
    pub(super) accept_queue: Option<AcceptQueue>,
    /// Requests that no thread has taken yet; `null` if the kernel does not report them.
    pub(super) request_queue: Option<RequestQueue>,
    pub(super) threads: Vec<ThreadStates>,
}

#[derive(Debug, Serialize)]
pub(super) struct ThreadStates {
    /// Index of the thread, as in the label `thread` of the metrics.
    pub(super) thread: String,
    /// Present state; `null` once the thread has ended.
    pub(super) state: Option<&'static str>,
    /// Seconds for which it has been in its present state, as in `thread_state_since_seconds`; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_seconds: Option<f64>,
    /// Thing that it waits for if it is blocked, as in the label `on` of the metrics; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on: Option<&'static str>,
    /// Seconds in each state since the thread started, as in `thread_state_seconds_total`.
    #[serde(serialize_with = "seconds_by_state")]
    pub(super) seconds: Times,
}

impl ServerStates {
    pub(super) fn of(server: &WatchedServer) -> Self {
        let readings = server.readings();
        Self {
            server: readings.server().to_owned(),
            active_requests: readings.requests_in_flight(),
            accept_queue: readings.accept_queue(),
            request_queue: readings.request_queue(),
            threads: ThreadStates::of(server),
        }
    }
}

impl ThreadStates {
    /// Returns the threads of a server.
    pub(super) fn of(server: &WatchedServer) -> Vec<Self> {
        let threads = server.readings().threads();
        let now = Timestamp::now();
        let states = |thread: ThreadNow| Self {
            thread: thread.label,
            state: thread.state.map(State::as_str),
            state_seconds: thread.since.map(|since| {
                let age = now.duration_since(since);
                (age.as_secs_f64() * 1e3).round() / 1e3
            }),
            on: thread.on.map(On::as_str),
            seconds: thread.times,
        };
        threads.into_iter().map(states).collect()
    }
}

/// Writes `{"running": 1.25, …}`, to the microsecond.
fn seconds_by_state<S: Serializer>(times: &Times, serializer: S) -> Result<S::Ok, S::Error> {
    let seconds = |state| (times.seconds(state) * 1e6).round() / 1e6;
    serializer.collect_map(State::ALL.map(|state| (state.as_str(), seconds(state))))
}
