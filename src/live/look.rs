//! One look at a server, shared by all of its viewers whose turns are close together: so a hundred
//! of them cost hardly more than one, and a scrape need not wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use thread_states::{State, ThreadReading};

use super::watched_server::WatchedServer;
use crate::metrics::{AcceptQueue, Probe};

/// How old a look may be that is shared, in nanoseconds: half the time between two events, so that
/// each event of a viewer has another.
const FRESH: u64 = 50_000_000;

/// A server at one moment.
#[derive(Debug)]
pub(super) struct Look {
    /// In nanoseconds of the server's clock.
    pub(super) now: u64,
    pub(super) states: BTreeMap<usize, State>,
    pub(super) threads: Vec<ThreadReading>,
    pub(super) accept_queue: Option<AcceptQueue>,
    pub(super) requests_in_flight: u64,
}

impl Look {
    pub(super) fn at(server: &WatchedServer) -> Self {
        let states = server.registry.states();
        let threads = server.registry.read().threads;
        Self {
            now: thread_states::now(),
            states,
            threads,
            accept_queue: server.accept_queue.as_ref().and_then(Probe::read),
            requests_in_flight: server.registry.requests_in_flight(),
        }
    }

    fn is_fresh(&self) -> bool {
        thread_states::now().saturating_sub(self.now) < FRESH
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
    use std::time::Duration;

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
        thread::sleep(Duration::from_nanos(FRESH));
        assert!(looks.at(&server).now > first.now);
    }
}
