//! The handle of a running exporter.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

/// A running exporter. Dropping it leaves the exporter running, as dropping a [`JoinHandle`] leaves a thread.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    pub(super) fn new(
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            address,
            stop,
            thread,
        }
    }

    /// Address on which it listens. The port is the one that the system chose, if port 0 was given.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the exporter: closes its port and its connections, and waits until its thread has ended.
    ///
    /// ```
    /// let exporter = thread_states::Metrics::new("shop").export("127.0.0.1:0")?;
    /// println!("metrics: http://{}/metrics", exporter.address());
    /// exporter.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(self) {
        // An error means that the thread has ended by itself.
        let _ = self.stop.send(());
        // A route of the exporter may be what stops it; it cannot wait for itself.
        if self.thread.thread().id() != thread::current().id() {
            let _ = self.thread.join();
        }
    }
}
