//! Readers of the requests that no thread of a server of this process has taken yet.

use thread_states::Registry;

use crate::gateway::RunningGateway;
use crate::metrics::{Probe, RequestQueue};
#[cfg(target_os = "linux")]
use crate::watch::{OwnQueue, SocketTable};

/// Maker of the readers of all servers of this process, which share what they read from the kernel.
#[derive(Debug, Default)]
pub(super) struct QueueProbes {
    #[cfg(target_os = "linux")]
    sockets: SocketTable,
}

impl QueueProbes {
    /// Returns the reader for a server.
    #[cfg(target_os = "linux")]
    pub(super) fn of(&self, server: &RunningGateway, registry: &Registry) -> Probe<RequestQueue> {
        let queue = OwnQueue::new(self.sockets.clone(), server.local_addr().port());
        let (server, registry) = (server.clone(), registry.clone());
        Probe::new(move || {
            // A request waits only while another one keeps the threads from it, which costs little to know.
            let accept_queue = server.accept_queue();
            let may_wait = accept_queue.is_ok_and(|accept| accept.length > 0)
                || registry.requests_in_flight() > 0;
            if may_wait {
                queue.read()
            } else {
                queue.forget();
                queue.is_readable().then(RequestQueue::default)
            }
        })
    }

    /// Returns a reader that knows nothing: only Linux reports the sockets.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(&self, _: &RunningGateway, _: &Registry) -> Probe<RequestQueue> {
        Probe::new(|| None)
    }
}
