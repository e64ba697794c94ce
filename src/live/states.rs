//! The threads of a server as JSON.

use serde::{Serialize, Serializer};
use thread_states::{State, Times};

use super::readings::ThreadNow;
use super::watched_server::WatchedServer;
use crate::metrics::AcceptQueue;

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
    pub(super) threads: Vec<ThreadStates>,
}

#[derive(Debug, Serialize)]
pub(super) struct ThreadStates {
    /// Index of the thread, as in the label `thread` of the metrics.
    pub(super) thread: String,
    /// Present state; `null` once the thread has ended.
    pub(super) state: Option<&'static str>,
    /// Seconds in each state since the thread started, as in `thread_state_seconds_total`.
    #[serde(serialize_with = "seconds_by_state")]
    pub(super) seconds: Times,
}

impl ServerStates {
    pub(super) fn of(server: &WatchedServer) -> Self {
        let readings = server.readings();
        let thread = |thread: ThreadNow| ThreadStates {
            thread: thread.label,
            state: thread.state.map(State::as_str),
            seconds: thread.times,
        };
        Self {
            server: readings.server().to_owned(),
            active_requests: readings.requests_in_flight(),
            accept_queue: readings.accept_queue(),
            threads: readings.threads().into_iter().map(thread).collect(),
        }
    }
}

/// Writes `{"running": 1.25, …}`, to the microsecond.
fn seconds_by_state<S: Serializer>(times: &Times, serializer: S) -> Result<S::Ok, S::Error> {
    let seconds = |state| (times.seconds(state) * 1e6).round() / 1e6;
    serializer.collect_map(State::ALL.map(|state| (state.as_str(), seconds(state))))
}
