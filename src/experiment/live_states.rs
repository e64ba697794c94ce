//! Thread states as the metrics ports stream them, for the display during a run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::sleep;

use super::client::EventStream;
use super::lab_server::LabServer;
use super::resolve::resolve;
use super::scrape::StateSeconds;

/// Pause before streams that ended are opened again: a replica may have been restarted.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Latest event of each stream.
#[derive(Debug, Default)]
pub(super) struct LiveStates(RefCell<HashMap<(LabServer, SocketAddr), StateSeconds>>);

/// The part of an event of `/threads/stream` that is drawn.
#[derive(Debug, Deserialize)]
struct ThreadsEvent {
    threads: Vec<ThreadOfEvent>,
}

#[derive(Debug, Deserialize)]
struct ThreadOfEvent {
    seconds: StateSeconds,
}

impl LiveStates {
    /// Returns the thread states of a server, summed over its replicas; `None` before the first event.
    pub(super) fn of(&self, server: LabServer) -> Option<StateSeconds> {
        let latest = self.0.borrow();
        let replicas = latest.iter().filter(|((name, _), _)| *name == server);
        replicas
            .map(|(_, states)| *states)
            .reduce(|sum, states| sum.plus(&states))
    }

    /// Reads the streams of these servers from all metrics ports, for as long as the future is polled. What cannot be
    /// read is an error of the experiment, not of its display.
    pub(super) async fn follow(&self, ports: &[String], servers: &[LabServer]) -> Infallible {
        loop {
            let mut streams = Vec::new();
            for port in ports {
                let addresses = resolve("the metrics port", "--metrics", port).await;
                for address in addresses.unwrap_or_default() {
                    for server in servers {
                        streams.push(Box::pin(self.follow_one(port, address, *server)));
                    }
                }
            }
            // One that ends is a replica that stopped: others may have taken its place.
            if !streams.is_empty() {
                future::select_all(streams).await;
            }
            self.0.borrow_mut().clear();
            sleep(REOPEN_AFTER).await;
        }
    }

    /// Reads a stream to its end. Never returns if the port does not export this server.
    async fn follow_one(&self, port: &str, address: SocketAddr, server: LabServer) {
        let path = format!("/threads/stream?server={server}");
        let Ok(mut stream) = EventStream::open(address, port, &path).await else {
            return;
        };
        if stream.status() == StatusCode::NOT_FOUND {
            return future::pending().await;
        }
        while let Ok(Some(event)) = stream.next().await {
            if let Ok(event) = serde_json::from_str::<ThreadsEvent>(&event) {
                let threads = event.threads.iter();
                let sum = threads.fold(StateSeconds::default(), |sum, thread| {
                    sum.plus(&thread.seconds)
                });
                self.0.borrow_mut().insert((server, address), sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_summed_over_threads_and_replicas() {
        let live = LiveStates::default();
        assert_eq!(live.of(LabServer::Sync), None);
        let insert = |port, blocked| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let states = StateSeconds {
                blocked,
                ..StateSeconds::default()
            };
            live.0
                .borrow_mut()
                .insert((LabServer::Sync, address), states);
        };
        insert(1, 2.0);
        insert(2, 3.0);
        assert_eq!(live.of(LabServer::Sync).unwrap().blocked, 5.0);
        assert_eq!(live.of(LabServer::Async), None);
    }
}
