//! One look at a server, shared by all of its viewers whose turns are close together: so a hundred
//! of them cost hardly more than one, and a scrape need not wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use thread_states::{Nanos, State, ThreadReading, Timestamp};

use super::watched_server::WatchedServer;
use crate::metrics::{AcceptQueue, Probe};

/// How old a look may be that is shared: half the time between two events, so that
/// each event of a viewer has another.
const FRESH: Nanos = Nanos::from_millis(50);

/// A server at one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) now: Timestamp,
    pub(super) states: BTreeMap<usize, State>,
    pub(super) threads: Vec<ThreadReading>,
    pub(super) accept_queue: Option<AcceptQueue>,
    pub(super) requests_in_flight: u64,
}

impl Look {
    pub(super) fn at(server: &WatchedServer) -> Self {
        let reading = server.registry.read();
        Self {
            now: Timestamp::now(),
            states: reading.states(),
            threads: reading.threads,
            accept_queue: server.accept_queue.as_ref().and_then(Probe::read),
            requests_in_flight: server.registry.requests_in_flight(),
        }
    }

    fn is_fresh(&self) -> bool {
        self.now.elapsed() < FRESH
    }
}

/// The latest look at each server, by its name.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<String, Arc<Look>>>);

impl Looks {
    /// A look that is fresh enough.
    pub(super) fn at(&self, server: &WatchedServer) -> Arc<Look> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = latest.get(server.name())
            && look.is_fresh()
        {
            return Arc::clone(look);
        }
        let look = Arc::new(Look::at(server));
        latest.insert(server.name().to_owned(), Arc::clone(&look));
        look
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
    fn a_look_is_shared_while_it_is_fresh_and_only_of_one_server() {
        let (looks, server) = (Looks::default(), named("sync"));
        // A machine may be so busy that 50 ms pass between two lines.
        let is_shared = || Arc::ptr_eq(&looks.at(&server), &looks.at(&server));
        assert!((0..20).any(|_| is_shared()));
        let first = looks.at(&server);
        assert!(!Arc::ptr_eq(&first, &looks.at(&named("async"))));
        thread::sleep(FRESH.into());
        assert!(looks.at(&server).now > first.now);
    }
}
