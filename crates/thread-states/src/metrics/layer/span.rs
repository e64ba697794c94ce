//! One request's hold on its thread, and its waits without one.

use std::task::Poll;

use super::Waits;
use crate::accounting::{self, Held, Registry};

/// One request's hold on its thread, and its waits without one; marked in the thread's clock as
/// they happen, so that a scrape during a blocking call already names the route.
///
/// Times are in nanoseconds of [`accounting::now`]; each is read once for all that happens then.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) route: usize,
    waits: Waits,
    phase: Phase,
    held: Held,
    awaited: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Neither held nor awaiting: before the first poll, and after the end.
    Out,
    /// Holds the thread from poll to poll.
    Holding,
    /// Waits without a thread.
    Awaiting {
        since: u64,
        /// Whether the thread that left it there is registered, and so has marked it.
        marked: bool,
    },
}

impl Span {
    /// The span of a request to a route, given by its index.
    pub(super) fn new(route: usize, waits: Waits) -> Self {
        Self {
            route,
            waits,
            phase: Phase::Out,
            held: Held::default(),
            awaited: 0,
        }
    }

    /// Begins it, just before the first poll.
    pub(super) fn begin(&mut self, now: u64) {
        if self.waits == Waits::WithThread {
            accounting::hold_at(now, self.route, false);
            self.phase = Phase::Holding;
        }
    }

    /// Polls a part of the request's work from `now` on, and returns the time after it.
    pub(super) fn poll<T>(
        &mut self,
        now: u64,
        registry: &Registry,
        work: impl FnOnce() -> Poll<T>,
    ) -> (Poll<T>, u64) {
        if self.waits == Waits::WithThread {
            return (work(), accounting::now());
        }
        let begun = now;
        let awaited = match std::mem::replace(&mut self.phase, Phase::Out) {
            Phase::Awaiting { since, marked } => {
                self.awaited += begun.saturating_sub(since);
                marked
            }
            Phase::Out | Phase::Holding => false,
        };
        accounting::hold_at(begun, self.route, awaited);
        let hold = ReleaseOnPanic(self.route);
        let polled = work();
        std::mem::forget(hold);
        let (awaits, now) = (polled.is_pending(), accounting::now());
        let held = accounting::release_at(now, self.route, awaits);
        if awaited && held.is_none() {
            registry.end_await(begun, self.route);
        }
        self.held += held.unwrap_or_default();
        if awaits {
            self.phase = Phase::Awaiting {
                since: now,
                marked: held.is_some(),
            };
        }
        (polled, now)
    }

    /// Whether the request has ever waited without a thread.
    pub(super) fn awaits(&self) -> bool {
        matches!(self.phase, Phase::Awaiting { .. }) || self.awaited > 0
    }

    /// How long the request held a thread up to `now`, and how long it waited without one.
    pub(super) fn so_far(&self, now: u64) -> (Held, u64) {
        let held = match self.phase {
            Phase::Holding => accounting::held_at(now).unwrap_or_default(),
            Phase::Out | Phase::Awaiting { .. } => self.held,
        };
        (held, self.awaited)
    }

    /// Ends the hold or the wait, whichever it is in.
    pub(super) fn end(&mut self, now: u64, registry: &Registry) {
        match std::mem::replace(&mut self.phase, Phase::Out) {
            Phase::Out => {}
            Phase::Holding => {
                self.held = accounting::release_at(now, self.route, false).unwrap_or_default();
            }
            Phase::Awaiting { since, marked } => {
                self.awaited += now.saturating_sub(since);
                if marked {
                    registry.end_await(now, self.route);
                }
            }
        }
    }
}

impl Drop for Span {
    /// Work that panicked still holds its thread. A wait has ended before, with its request.
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Holding) {
            accounting::release(self.route, false);
        }
    }
}

/// Ends the hold of a poll that panicked.
struct ReleaseOnPanic(usize);

impl Drop for ReleaseOnPanic {
    fn drop(&mut self) {
        accounting::release(self.0, false);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::accounting::{InFlight, now};

    #[test]
    fn a_panic_ends_the_hold() {
        let registry = Registry::new("test", ["/".to_owned()]);
        let _registration = registry.register(0, InFlight::new());
        for waits in [Waits::WithThread, Waits::WithoutThread] {
            let mut span = Span::new(0, waits);
            span.begin(now());
            let poll = AssertUnwindSafe(|| {
                span.poll(now(), &registry, || -> Poll<()> { panic!("on purpose") })
            });
            assert!(catch_unwind(poll).is_err());
            drop(span);
            thread::sleep(Duration::from_millis(5));
            assert_eq!(accounting::held(), Some(Held::default()), "{waits:?}");
        }
    }
}
