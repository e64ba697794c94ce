//! One reading of a server, shared by all of its viewers whose events are due at about the same time.
//! A hundred viewers thereby cost little more than one, and a scrape need not wait for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use thread_states::{Nanos, Timestamp};

use super::states::ServerStates;
use super::watched_server::WatchedServer;

/// Maximum age of a sample that is shared: half the time between two events, so that
/// a viewer never gets the same sample twice.
const MAX_AGE: Nanos = Nanos::from_millis(50);

/// A server at one moment.
#[derive(Debug)]
pub(super) struct ServerSample {
    pub(super) now: Timestamp,
    pub(super) states: ServerStates,
}

impl ServerSample {
    pub(super) fn of(server: &WatchedServer) -> Self {
        let states = ServerStates::of(server);
        Self {
            now: Timestamp::now(),
            states,
        }
    }

    fn is_fresh(&self) -> bool {
        self.now.elapsed() < MAX_AGE
    }
}

/// The latest sample of each server, by the server's name.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<HashMap<String, Arc<ServerSample>>>);

impl Samples {
    /// Returns the latest sample of a server, or a new one if that is too old.
    pub(super) fn of(&self, server: &WatchedServer) -> Arc<ServerSample> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sample) = latest.get(server.name())
            && sample.is_fresh()
        {
            return Arc::clone(sample);
        }
        let sample = Arc::new(ServerSample::of(server));
        latest.insert(server.name().to_owned(), Arc::clone(&sample));
        sample
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use thread_states::Registry;

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
