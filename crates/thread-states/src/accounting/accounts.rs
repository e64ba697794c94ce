//! All threads and routes of one server, as the exporter keeps them between two readings.

use std::sync::Arc;

use super::account::Account;
use super::handover;
use super::observer::{Reader, Turn};
use super::published::PublishedRoute;
use super::reading::{Reading, ThreadReading};
use super::route_sums::RouteSums;
use super::route_times::RouteTimes;
use super::shared::Shared;
use super::state::State;
use super::units::Timestamp;
use super::worker::Worker;

/// Number of threads whose memory is fetched before they are read: few enough for the first-level cache.
///
/// A reader of many threads finds little of their memory in a cache, and its system calls keep the CPU from loading
/// that of the next thread meanwhile. That of several threads comes at the same time.
const FETCHED_AT_ONCE: usize = 16;

/// All threads and routes of one server.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Each with its index, in ascending order. Not a tree: its nodes lie apart, and a reading waits for each.
    threads: Vec<(usize, Account)>,
    sums: RouteSums,
    routes: Vec<PublishedRoute>,
    /// Of the next reading.
    turn: Turn,
}

impl Accounts {
    /// Creates accounts for at most so many routes, of no thread.
    pub(super) fn new(routes: usize) -> Self {
        Self {
            threads: Vec::new(),
            sums: RouteSums::new(routes),
            routes: (0..routes).map(|_| PublishedRoute::default()).collect(),
            turn: Turn::default(),
        }
    }

    /// Returns `wanted` if no living thread has this index, else the lowest that none has.
    pub(super) fn free_index(&self, wanted: usize) -> usize {
        let is_free = |index: &usize| {
            let position = self.position(*index);
            position.map_or(true, |at| self.threads[at].1.is_free())
        };
        std::iter::once(wanted)
            .chain(0..)
            .find(is_free)
            .unwrap_or(wanted)
    }

    /// Position of the account of this index, or that at which to insert one.
    fn position(&self, index: usize) -> Result<usize, usize> {
        self.threads
            .binary_search_by_key(&index, |(index, _)| *index)
    }

    /// Adds a thread under this index.
    pub(super) fn add_thread(
        &mut self,
        index: usize,
        shared: Arc<Shared>,
        worker: Option<Worker>,
        known_routes: usize,
    ) {
        let at = self.position(index).unwrap_or_else(|at| {
            self.threads.insert(at, (index, Account::default()));
            at
        });
        let (_, account) = &mut self.threads[at];
        // There may be no scrape at all: threads that come and go must leave nothing behind even so.
        account.settle_ended(&mut Reader::new(known_routes), &mut self.sums);
        account.add_thread(shared, worker);
    }

    /// Ends the time of the thread that was this worker until now, and returns its index. `wrongly_ended` is the clock of
    /// the calling thread, if that was replaced although it has kept its worker.
    pub(super) fn replace(
        &mut self,
        worker: Worker,
        wrongly_ended: Option<&Arc<Shared>>,
        known_routes: usize,
    ) -> Option<usize> {
        let handover = wrongly_ended.and_then(|clock| {
            let mut threads = self.threads.iter();
            threads.find_map(|(_, account)| account.handover(clock))
        });
        let handover = handover.unwrap_or_else(Timestamp::now);
        let threads = self.threads.iter();
        let index = if worker.number.is_some() {
            let mut before = threads.filter(|(_, account)| account.is(worker));
            before.next().map(|(index, _)| *index)
        } else {
            let of_runtime =
                threads.filter_map(|(index, account)| account.candidate(*index, worker.runtime));
            handover::giver(of_runtime, worker.of, handover)
        }?;
        let at = self.position(index).ok()?;
        let (_, account) = &mut self.threads[at];
        let reader = &mut Reader::new(known_routes);
        account.replace(worker, handover, reader, &mut self.sums);
        Some(index)
    }

    /// Changes the waits of `route` on a thread that is not registered.
    pub(super) fn wait(&mut self, route: usize, change: impl FnOnce(&mut RouteTimes)) {
        self.sums.wait(route, change);
    }

    /// Reads every thread once. No value is ever below that of an earlier call.
    pub(super) fn read(&mut self, reader: Reader) -> Reading {
        let mut reader = reader.with_turn(self.turn);
        let mut open = Vec::new();
        let mut threads = Vec::with_capacity(self.threads.len());
        for accounts in self.threads.chunks_mut(FETCHED_AT_ONCE) {
            accounts.iter().for_each(|(_, account)| account.touch());
            accounts.iter().for_each(|(_, account)| account.prefetch());
            threads.extend(accounts.iter_mut().map(|(index, account)| {
                let open = |route, times| open.push((route, times));
                account.read(*index, &mut reader, &mut self.sums, open)
            }));
        }
        let is_blocked = |thread: &&ThreadReading| thread.state == Some(State::Blocked);
        self.turn = Turn {
            reading: self.turn.reading + 1,
            blocked: threads.iter().filter(is_blocked).count(),
        };
        let now = Timestamp::now();
        let mut routes = self.sums.total(reader.known_routes());
        for (route, times) in open {
            if let Some(sum) = routes.get_mut(route) {
                *sum += times;
            }
        }
        let routes = routes.iter().zip(&mut self.routes);
        Reading {
            threads,
            routes: routes
                .map(|(times, published)| published.advance(times, now))
                .collect(),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::{InFlight, Registry};

    #[test]
    fn threads_are_in_the_order_of_their_indices_and_each_index_has_one_account() {
        let registry = Registry::new("test", []);
        let registrations = [7, 2, 5].map(|index| {
            let registry = registry.clone();
            std::thread::spawn(move || drop(registry.register(index, InFlight::new())))
        });
        for thread in registrations {
            thread.join().unwrap();
        }
        let _again = registry.register(2, InFlight::new());
        let indices = registry
            .read()
            .threads
            .iter()
            .map(|thread| thread.index)
            .collect::<Vec<_>>();
        assert_eq!(indices, [2, 5, 7]);
    }
}
