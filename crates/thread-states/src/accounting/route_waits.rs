//! Marks of the waits of a route, which end on any thread.

use std::sync::Arc;

use super::clock;
use super::registry::Registry;
use super::route_times::RouteTimes;
use super::units::Timestamp;

impl Registry {
    /// Ends an await of `route` at `time` whose work does not go on, or goes on on a thread that is not
    /// registered. The calling thread need not be registered either: a runtime drops its requests in
    /// flight on whichever thread it is dropped.
    pub fn end_await(&self, time: Timestamp, route: usize) {
        self.wait(route, |times| times.awaits.end(time));
    }

    /// Ends a wait for a thread, as [`Self::end_await`] ends an await.
    pub(crate) fn end_ready(&self, time: Timestamp, route: usize) {
        self.wait(route, |times| times.readies.end(time));
    }

    /// Divides the wait of a request at the time of its wake-up.
    pub(crate) fn wake(&self, woken: Timestamp, route: usize) {
        self.wait(route, |times| times.wake(woken));
    }

    /// Changes the waits of a route, on whichever thread.
    fn wait(&self, route: usize, change: impl Fn(&mut RouteTimes)) {
        let marked = clock::with(|clock| {
            let ours = Arc::ptr_eq(clock.long_holds(), self.long_holds());
            if ours {
                clock.wait(route, &change);
            }
            ours
        });
        if !marked.unwrap_or(false) {
            self.accounts().wait(route, change);
        }
    }
}
