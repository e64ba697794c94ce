//! All threads and routes of one server, as the exporter keeps them between two readings.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::{Account, RouteSums};
use super::clock::Shared;
use super::observer::Reader;
use super::published::PublishedRoute;
use super::reading::Reading;
use super::route_times::RouteTimes;
use super::units::Timestamp;
use super::worker_id::WorkerId;

/// All threads and routes of one server.
#[derive(Debug)]
pub(super) struct Accounts {
    threads: BTreeMap<usize, Account>,
    /// Times of each route on threads that have ended, and the ends of awaits on threads that are not
    /// registered.
    ended_routes: Vec<RouteTimes>,
    routes: Vec<PublishedRoute>,
}

impl Accounts {
    /// Creates accounts for at most so many routes, of no thread.
    pub(super) fn new(routes: usize) -> Self {
        Self {
            threads: BTreeMap::new(),
            ended_routes: vec![RouteTimes::default(); routes],
            routes: (0..routes).map(|_| PublishedRoute::default()).collect(),
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
        worker: Option<WorkerId>,
        known_routes: usize,
    ) {
        let account = self.threads.entry(index).or_default();
        // There may be no scrape at all: threads that come and go must leave nothing behind even so.
        account.settle_ended(&mut Reader::new(known_routes), &mut self.ended_routes);
        account.add_thread(shared, worker);
    }

    /// Ends the time of the thread that was this worker, and returns its index.
    pub(super) fn replace(&mut self, worker: WorkerId, known_routes: usize) -> Option<usize> {
        let reader = &mut Reader::new(known_routes);
        self.threads
            .iter_mut()
            .find_map(|(index, account)| account.replace(worker, reader).then_some(*index))
    }

    /// Changes the waits of `route` on a thread that is not registered.
    pub(super) fn wait(&mut self, route: usize, change: impl FnOnce(&mut RouteTimes)) {
        if let Some(times) = self.ended_routes.get_mut(route) {
            change(times);
        }
    }

    /// Reads every thread once. No value is ever below that of an earlier call.
    pub(super) fn read(&mut self, mut reader: Reader) -> Reading {
        let mut living = vec![RouteTimes::default(); reader.known_routes()];
        let mut sums = RouteSums {
            ended: &mut self.ended_routes,
            living: &mut living,
        };
        let threads = self
            .threads
            .iter_mut()
            .map(|(index, account)| account.read(*index, &mut reader, &mut sums))
            .collect();
        let now = Timestamp::now();
        let routes = living.into_iter().zip(&self.ended_routes);
        let routes = routes.zip(&mut self.routes);
        Reading {
            threads,
            routes: routes
                .map(|((mut times, ended), published)| {
                    times += *ended;
                    published.advance(&times, now)
                })
                .collect(),
        }
    }
}
