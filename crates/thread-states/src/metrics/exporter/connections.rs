//! The open connections and their limits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::client_stream::WaitsSince;

/// Time between two attempts to find a connection that can be closed.
const RETRY: Duration = Duration::from_millis(50);

/// Limits on connections: each one takes a file descriptor that the measured servers cannot use.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    /// Time that a client may take before and between requests.
    pub(super) idle: Duration,
    /// Time that a client may take to read what was written for it.
    pub(super) write: Duration,
    /// Time that a client may take when others wait for its place or its file descriptor.
    pub(super) idle_under_pressure: Duration,
    /// Number of connections served at once; others wait in the kernel's accept queue.
    pub(super) connections: usize,
}

impl Default for ConnectionLimits {
    /// 10 s for a client, half a second while others wait, and 256 connections: far more than scrapes,
    /// health checks and viewers need.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            write: Duration::from_secs(10),
            idle_under_pressure: Duration::from_millis(500),
            connections: 256,
        }
    }
}

/// The open connections. When all places are taken, the connection that has waited for its client the
/// longest is closed for the next one: otherwise clients that send or read nothing could keep scrapes
/// and health checks out for as long as they like.
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    idle_under_pressure: Duration,
    open: Mutex<Vec<(AbortHandle, WaitsSince)>>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            idle_under_pressure: limits.idle_under_pressure,
            open: Mutex::default(),
        }
    }

    /// Waits for a place. Nothing closes the semaphore, so that there always is one in the end.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return Some(place);
            }
            self.close_longest_waiting();
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = timeout(RETRY, place).await {
                return place.ok();
            }
        }
    }

    /// Adds a connection that has a place.
    pub(super) fn add(&self, task: AbortHandle, waits_since: WaitsSince) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(task, _)| !task.is_finished());
        open.push((task, waits_since));
    }

    /// Closes the connection that has waited for its client the longest, if that was long enough.
    /// Returns whether there was one.
    pub(super) fn close_longest_waiting(&self) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = open
            .iter()
            .filter(|(task, _)| !task.is_finished())
            .filter_map(|(task, waits_since)| Some((waits_since.get()?, task)))
            .min_by_key(|(since, _)| *since);
        let waited = |since| Instant::now().duration_since(since);
        match longest {
            Some((since, task)) if waited(since) >= self.idle_under_pressure => {
                task.abort();
                true
            }
            _ => false,
        }
    }
}
