//! All threads and routes of one server, as the exporter keeps them between two readings.

use std::collections::BTreeMap;
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

/// Number of threads whose memory is fetched at once before they are read: few enough for the first-level cache.
const FETCHED_AT_ONCE: usize = 32;

/// All threads and routes of one server.
#[derive(Debug)]
pub(super) struct Accounts {
    threads: BTreeMap<usize, Account>,
    sums: RouteSums,
    routes: Vec<PublishedRoute>,
    /// Of the next reading.
    turn: Turn,
}

impl Accounts {
    /// Creates accounts for at most so many routes, of no thread.
    pub(super) fn new(routes: usize) -> Self {
        Self {
            threads: BTreeMap::new(),
            sums: RouteSums::new(routes),
            routes: (0..routes).map(|_| PublishedRoute::default()).collect(),
            turn: Turn::default(),
        }
    }

    /// Returns `wanted` if no living thread has this index, else the lowest that none has.
    pub(super) fn free_index(&self, wanted: usize) -> usize {
        let is_free = |index: &usize| self.threads.get(index).is_none_or(Account::is_free);
        std::iter::once(wanted)
            .chain(0..)
            .find(is_free)
            .unwrap_or(wanted)
    }

    /// Adds a thread under this index.
    pub(super) fn add_thread(
        &mut self,
        index: usize,
        shared: Arc<Shared>,
        worker: Option<Worker>,
        known_routes: usize,
    ) {
        let account = self.threads.entry(index).or_default();
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
            let mut accounts = self.threads.values();
            accounts.find_map(|account| account.handover(clock))
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
        let account = self.threads.get_mut(&index)?;
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
        let mut accounts: Vec<_> = self.threads.iter_mut().collect();
        let mut threads = Vec::with_capacity(accounts.len());
        for accounts in accounts.chunks_mut(FETCHED_AT_ONCE) {
            accounts.iter().for_each(|(_, account)| account.fetch());
            threads.extend(accounts.iter_mut().map(|(index, account)| {
                let open = |route, times| open.push((route, times));
                account.read(**index, &mut reader, &mut self.sums, open)
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
