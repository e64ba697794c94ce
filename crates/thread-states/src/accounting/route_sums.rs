//! Times of a server's routes, summed up over its threads.

use super::route_times::RouteTimes;

/// Times of a server's routes, summed up over its threads, without those that the threads have not accounted yet.
///
/// A reading changes the sums by the threads that have changed. To add up all of them took longer than everything else
/// that a reading does in this process.
#[derive(Debug)]
pub(super) struct RouteSums {
    /// Of threads that have ended, and the ends of awaits on threads that are not registered.
    ended: Vec<RouteTimes>,
    /// Of threads that live.
    living: Vec<RouteTimes>,
}

impl RouteSums {
    /// Creates sums of at most so many routes, of no thread.
    pub(super) fn new(routes: usize) -> Self {
        Self {
            ended: vec![RouteTimes::default(); routes],
            living: vec![RouteTimes::default(); routes],
        }
    }

    /// Adds the times of a thread that lives.
    pub(super) fn join(&mut self, routes: &[RouteTimes]) {
        for (sum, times) in self.living.iter_mut().zip(routes) {
            *sum += *times;
        }
    }

    /// Takes away the times that [`Self::join`] has added.
    pub(super) fn leave(&mut self, routes: &[RouteTimes]) {
        for (sum, times) in self.living.iter_mut().zip(routes) {
            *sum -= *times;
        }
    }

    /// Adds times for good: of a thread that has ended, say.
    pub(super) fn add_ended(&mut self, route: usize, times: RouteTimes) {
        if let Some(sum) = self.ended.get_mut(route) {
            *sum += times;
        }
    }

    /// Changes the waits of `route` on a thread that is not registered.
    pub(super) fn wait(&mut self, route: usize, change: impl FnOnce(&mut RouteTimes)) {
        if let Some(times) = self.ended.get_mut(route) {
            change(times);
        }
    }

    /// Returns the sums over all threads of the first `routes` routes.
    pub(super) fn total(&self, routes: usize) -> Vec<RouteTimes> {
        let both = self.living.iter().zip(&self.ended).take(routes);
        both.map(|(living, ended)| {
            let mut sum = *living;
            sum += *ended;
            sum
        })
        .collect()
    }
}
