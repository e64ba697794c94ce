//! A server that the live page can show.

use std::sync::Arc;

use thread_states::Registry;

use super::readings::{OwnServer, Readings};
use crate::metrics::{AcceptQueue, Probe, RequestQueue};

/// A server: its threads and requests, and its accept queue. Clones share it.
#[derive(Debug, Clone)]
pub struct WatchedServer(Arc<dyn Readings>);

impl WatchedServer {
    /// Creates a server with the threads of `registry`.
    #[must_use]
    pub fn new(registry: Registry, accept_queue: Option<Probe<AcceptQueue>>) -> Self {
        Self::of(OwnServer {
            registry,
            accept_queue,
            request_queue: None,
        })
    }

    /// Creates a server whose queued requests can be read, too.
    #[must_use]
    pub fn with_queues(
        registry: Registry,
        accept_queue: Probe<AcceptQueue>,
        request_queue: Probe<RequestQueue>,
    ) -> Self {
        Self::of(OwnServer {
            registry,
            accept_queue: Some(accept_queue),
            request_queue: Some(request_queue),
        })
    }

    /// Creates a server that is read by `readings`.
    #[must_use]
    pub fn of(readings: impl Readings + 'static) -> Self {
        Self(Arc::new(readings))
    }

    /// Returns the name of the server.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.server()
    }

    pub(super) fn readings(&self) -> &dyn Readings {
        &*self.0
    }
}
