//! One reading of a server.

use thread_states::{Nanos, Timestamp};

use super::states::ServerStates;
use super::watched_server::WatchedServer;
use crate::metrics::cpu_pressure;

/// Maximum age of a sample that is shared: half the time between two events, so that
/// a viewer never gets the same sample twice.
pub(super) const MAX_AGE: Nanos = Nanos::from_millis(50);

/// A server at one moment.
#[derive(Debug)]
pub(super) struct ServerSample {
    pub(super) now: Timestamp,
    /// Share of the last 10 s in which a thread of the machine waited for a CPU; `None` if it is not known.
    pub(super) cpu_pressure: Option<f64>,
    pub(super) states: ServerStates,
}

impl ServerSample {
    pub(super) fn of(server: &WatchedServer) -> Self {
        let states = ServerStates::of(server);
        Self {
            now: Timestamp::now(),
            cpu_pressure: cpu_pressure(),
            states,
        }
    }

    /// Returns whether the sample may be shared with another viewer.
    pub(super) fn is_fresh(&self) -> bool {
        self.now.elapsed() < MAX_AGE
    }
}
