//! The samples of the servers, shared by all viewers whose events are due at about the same time.
//! A hundred viewers thereby cost little more than one, and a scrape need not wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::history::{Moment, StateHistory};
use super::sample::ServerSample;
use super::watched_server::WatchedServer;

/// The latest sample of each server, and its last minute, by the server's name.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<HashMap<String, Sampled>>);

#[derive(Debug)]
struct Sampled {
    latest: Arc<ServerSample>,
    history: StateHistory,
}

impl Samples {
    /// Returns the latest sample of a server, or a new one if that is too old.
    pub(super) fn of(&self, server: &WatchedServer) -> Arc<ServerSample> {
        self.with(server, |sampled| Arc::clone(&sampled.latest))
    }

    /// Returns the same, and the moments of the last minute that precede it or are it, by thread.
    pub(super) fn with_history(
        &self,
        server: &WatchedServer,
    ) -> (Arc<ServerSample>, BTreeMap<String, Vec<Moment>>) {
        self.with(server, |sampled| {
            (Arc::clone(&sampled.latest), sampled.history.threads())
        })
    }

    fn with<T>(&self, server: &WatchedServer, read: impl FnOnce(&Sampled) -> T) -> T {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sampled) = servers.get_mut(server.name()) {
            if !sampled.latest.is_fresh() {
                sampled.add(server, ServerSample::of(server));
            }
            return read(sampled);
        }
        let latest = Arc::new(ServerSample::of(server));
        let mut history = StateHistory::default();
        history.add(server.readings().began(), &latest);
        let sampled = Sampled { latest, history };
        read(servers.entry(server.name().to_owned()).or_insert(sampled))
    }
}

impl Sampled {
    fn add(&mut self, server: &WatchedServer, sample: ServerSample) {
        self.history.add(server.readings().began(), &sample);
        self.latest = Arc::new(sample);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use thread_states::Registry;

    use super::super::sample::MAX_AGE;
    use super::*;

    fn named(name: &str) -> WatchedServer {
        WatchedServer::new(Registry::new(name, []), None)
    }

    #[test]
    fn a_sample_is_shared_while_it_is_fresh_and_only_by_viewers_of_its_server() {
        let (samples, server) = (Samples::default(), named("sync"));
        // On a busy machine 50 ms may pass between two lines.
        let is_shared = || Arc::ptr_eq(&samples.of(&server), &samples.of(&server));
        assert!((0..20).any(|_| is_shared()));
        let first = samples.of(&server);
        assert!(!Arc::ptr_eq(&first, &samples.of(&named("async"))));
        thread::sleep(MAX_AGE.into());
        assert!(samples.of(&server).now > first.now);
    }
}
