//! Holds and awaits of one request.

use std::task::Poll;

use super::thread_model::ThreadModel;
use crate::accounting::{self, Held, HoldEnd, HoldStart, Nanos, Registry, Timestamp};

/// Holds and awaits of one request, marked on the thread's clock as they happen: a scrape during a
/// blocking call already names the route that blocks.
///
/// A request of an event loop goes through many threads, and not all of them need be registered: a
/// runtime may be dropped, with its requests, on any thread. A thread that is not registered cannot mark
/// an await, so an await that it begins is in no counter. An await that a registered thread began has
/// to end in the counters, too, or it would grow for ever: then the registry ends it.
#[derive(Debug)]
pub(super) struct Span {
    /// Index of the route.
    pub(super) route: usize,
    thread_model: ThreadModel,
    phase: Phase,
    held: Held,
    awaited: Nanos,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Before the first poll, during a poll, or after the end.
    Out,
    /// Holds the thread between polls, too.
    Holding,
    /// Waits without a thread.
    Awaiting { since: Timestamp, begun: Await },
}

/// Beginning of an await.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Await {
    /// On a registered thread, which marked it.
    Marked,
    /// On a thread that is not registered.
    Unmarked,
}

impl Span {
    /// Creates the span of a request to a route, given by its index.
    pub(super) fn new(route: usize, thread_model: ThreadModel) -> Self {
        Self {
            route,
            thread_model,
            phase: Phase::Out,
            held: Held::default(),
            awaited: Nanos::ZERO,
        }
    }

    /// Begins the span, just before the first poll.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.thread_model == ThreadModel::ThreadPerRequest {
            accounting::hold_at(now, self.route, HoldStart::New);
            self.phase = Phase::Holding;
        }
    }

    /// Polls a part of the request's work from `now` on, and returns the time after it.
    pub(super) fn poll<T>(
        &mut self,
        now: Timestamp,
        registry: &Registry,
        work: impl FnOnce() -> Poll<T>,
    ) -> (Poll<T>, Timestamp) {
        if self.thread_model == ThreadModel::ThreadPerRequest {
            return (work(), Timestamp::now());
        }
        let begun = now;
        let start = self.resume(begun);
        accounting::hold_at(begun, self.route, start);
        let hold = ReleaseOnPanic(self.route);
        let polled = work();
        std::mem::forget(hold);
        let (is_pending, now) = (polled.is_pending(), Timestamp::now());
        let end = if is_pending {
            HoldEnd::Awaits
        } else {
            HoldEnd::Done
        };
        let held = accounting::release_at(now, self.route, end);
        if start == HoldStart::AfterAwait && held.is_none() {
            // This thread is not registered, so `hold_at` has not ended the await.
            registry.end_await(begun, self.route);
        }
        self.held += held.unwrap_or_default();
        if is_pending {
            self.phase = Phase::Awaiting {
                since: now,
                begun: held.map_or(Await::Unmarked, |_| Await::Marked),
            };
        }
        (polled, now)
    }

    /// Ends the await that the span is in, if it is in one, and returns how the next hold begins.
    fn resume(&mut self, now: Timestamp) -> HoldStart {
        let Phase::Awaiting { since, begun } = self.phase else {
            return HoldStart::New;
        };
        self.phase = Phase::Out;
        self.awaited += now.duration_since(since);
        match begun {
            Await::Marked => HoldStart::AfterAwait,
            Await::Unmarked => HoldStart::New,
        }
    }

    /// Returns whether the request has ever waited without a thread.
    pub(super) fn has_awaited(&self) -> bool {
        matches!(self.phase, Phase::Awaiting { .. }) || self.awaited > Nanos::ZERO
    }

    /// Returns how long the request held a thread up to `now`, and how long it waited without one.
    pub(super) fn so_far(&self, now: Timestamp) -> (Held, Nanos) {
        let held = match self.phase {
            Phase::Holding => accounting::held_at(now).unwrap_or_default(),
            Phase::Out | Phase::Awaiting { .. } => self.held,
        };
        (held, self.awaited)
    }

    /// Ends the hold or the await, whichever the span is in.
    pub(super) fn end(&mut self, now: Timestamp, registry: &Registry) {
        if matches!(self.phase, Phase::Holding) {
            self.phase = Phase::Out;
            let held = accounting::release_at(now, self.route, HoldEnd::Done);
            self.held = held.unwrap_or_default();
        } else if self.resume(now) == HoldStart::AfterAwait {
            registry.end_await(now, self.route);
        }
    }
}

impl Drop for Span {
    /// Work that panicked still holds its thread. An await has ended before, with its request.
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Holding) {
            accounting::release_at(Timestamp::now(), self.route, HoldEnd::Done);
        }
    }
}

/// Ends the hold of a poll that panicked.
struct ReleaseOnPanic(usize);

impl Drop for ReleaseOnPanic {
    fn drop(&mut self) {
        accounting::release_at(Timestamp::now(), self.0, HoldEnd::Done);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::accounting::InFlight;

    #[test]
    fn a_panic_ends_the_hold() {
        let registry = Registry::new("test", ["/".to_owned()]);
        let _registration = registry.register(0, InFlight::new());
        for thread_model in [ThreadModel::ThreadPerRequest, ThreadModel::EventLoop] {
            let mut span = Span::new(0, thread_model);
            span.begin(Timestamp::now());
            let poll = AssertUnwindSafe(|| {
                let panic = || -> Poll<()> { panic!("on purpose") };
                span.poll(Timestamp::now(), &registry, panic)
            });
            assert!(catch_unwind(poll).is_err());
            drop(span);
            thread::sleep(Duration::from_millis(5));
            let held = accounting::held();
            assert_eq!(held, Some(Held::default()), "{thread_model:?}");
        }
    }
}
