//! A server that the live page can show.

use thread_states::Registry;

use crate::metrics::Probe;

/// A server of this process: its threads and requests, and its accept queue.
#[derive(Debug, Clone)]
pub struct WatchedServer {
    pub(super) registry: Registry,
    /// `None` if the server has no queue that can be read.
    pub(super) accept_queue: Option<Probe>,
}

impl WatchedServer {
    /// Creates a server with the threads of `registry`.
    #[must_use]
    pub fn new(registry: Registry, accept_queue: Option<Probe>) -> Self {
        Self {
            registry,
            accept_queue,
        }
    }

    /// Returns the name of the server.
    #[must_use]
    pub fn name(&self) -> &str {
        self.registry.server()
    }
}
