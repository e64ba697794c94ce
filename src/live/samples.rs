//! The samples of the servers, shared by all viewers whose events are due at about the same time.
//! A hundred viewers thereby cost little more than one, and a scrape need not wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use thread_states::Timestamp;

use super::history::{Moment, StateHistory};
use super::sample::ServerSample;
use super::states::ThreadStates;
use super::watched_server::WatchedServer;

/// The latest sample of each server, and its last minute, by the server's name.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<HashMap<String, Sampled>>);

#[derive(Debug, Default)]
struct Sampled {
    latest: Option<Arc<ServerSample>>,
    history: StateHistory,
}

impl Samples {
    /// Returns the latest sample of a server, or a new one if that is too old.
    pub(super) fn of(&self, server: &WatchedServer) -> Arc<ServerSample> {
        self.with(server, |sampled| sampled.latest(server))
    }

    /// Returns the same, and the moments of the last minute that precede it or are it, by thread.
    pub(super) fn with_history(
        &self,
        server: &WatchedServer,
    ) -> (Arc<ServerSample>, BTreeMap<String, Vec<Moment>>) {
        self.with(server, |sampled| {
            (sampled.latest(server), sampled.history.threads())
        })
    }

    /// Adds the present moment to the history of a server, unless a viewer has just done so.
    pub(super) fn record(&self, server: &WatchedServer) {
        self.with(server, |sampled| sampled.record(server));
    }

    fn with<T>(&self, server: &WatchedServer, read: impl FnOnce(&mut Sampled) -> T) -> T {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sampled) = servers.get_mut(server.name()) {
            return read(sampled);
        }
        read(servers.entry(server.name().to_owned()).or_default())
    }
}

impl Sampled {
    fn latest(&mut self, server: &WatchedServer) -> Arc<ServerSample> {
        if let Some(latest) = self.fresh() {
            return Arc::clone(latest);
        }
        let sample = ServerSample::of(server);
        let began = server.readings().began();
        self.history.add(began, sample.now, &sample.states.threads);
        Arc::clone(self.latest.insert(Arc::new(sample)))
    }

    /// Reads the threads only. To read the queues costs much more, and the history does not have them.
    fn record(&mut self, server: &WatchedServer) {
        let began = server.readings().began();
        if self.fresh().is_none() && self.history.is_due(began, Timestamp::now()) {
            let threads = ThreadStates::of(server);
            self.history.add(began, Timestamp::now(), &threads);
        }
    }

    /// The latest sample, if it is still fresh.
    fn fresh(&self) -> Option<&Arc<ServerSample>> {
        self.latest.as_ref().filter(|latest| latest.is_fresh())
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
