//! The thread that samples the servers while nobody watches them, so that a viewer gets the last minute.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::samples::Samples;
use super::watched_server::WatchedServer;

/// The servers of the moment.
pub(super) type WatchedServers = dyn Fn() -> Vec<WatchedServer> + Send + Sync;

/// Starts the thread. It records the states of each server once per `interval`, and ends once `servers` or
/// `samples` is dropped. A sample that a viewer has just taken is in the history already.
pub(super) fn spawn(servers: &Arc<WatchedServers>, samples: &Arc<Samples>, interval: Duration) {
    let (servers, samples) = (Arc::downgrade(servers), Arc::downgrade(samples));
    let thread = thread::Builder::new().name("live-history".to_owned());
    let record = move || {
        while record(&servers, &samples).is_some() {
            thread::sleep(interval);
        }
    };
    if let Err(error) = thread.spawn(record) {
        tracing::warn!(%error, "no thread for the history: the live page starts with empty lanes");
    }
}

/// Records the states of each server; returns `None` once there is nobody left who could ask for them.
fn record(servers: &Weak<WatchedServers>, samples: &Weak<Samples>) -> Option<()> {
    let (servers, samples) = (servers.upgrade()?, samples.upgrade()?);
    for server in servers() {
        samples.record(&server);
    }
    Some(())
}
