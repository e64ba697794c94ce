//! Holds and awaits of one request.

use std::task::{Context, Poll};

use super::thread_model::ThreadModel;
use super::wake::{WaitEnd, Wakes};
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
    ready: Nanos,
    wakes: Wakes,
}

/// Times of a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SpanTimes {
    /// It held a thread.
    pub(super) held: Held,
    /// It waited without a thread, for something else.
    pub(super) awaited: Nanos,
    /// It waited for a thread after a wake-up.
    pub(super) ready: Nanos,
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
            ready: Nanos::ZERO,
            wakes: Wakes::default(),
        }
    }

    /// Begins the span, just before the first poll.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.thread_model == ThreadModel::ThreadPerRequest {
            accounting::hold_at(now, self.route, HoldStart::New);
            self.phase = Phase::Holding;
        }
    }

    /// Polls a part of the request's work from `now` on, and returns the time after it. `work` keeps the result of the
    /// poll, which would otherwise be moved at each level, and returns [`end_of`] it.
    pub(super) fn poll(
        &mut self,
        now: Timestamp,
        registry: &Registry,
        context: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> HoldEnd,
    ) -> Timestamp {
        if self.thread_model == ThreadModel::ThreadPerRequest {
            work(context);
            return Timestamp::now();
        }
        let begun = now;
        let start = self.resume(begun, registry);
        accounting::hold_at(begun, self.route, start);
        let hold = ReleaseOnPanic(self.route);
        let end = self.wakes.poll(registry, self.route, context, work);
        std::mem::forget(hold);
        let now = Timestamp::now();
        let held = accounting::release_at(now, self.route, end);
        if held.is_none() {
            // This thread is not registered, so `hold_at` has not ended the wait.
            self.end_wait(begun, registry, start);
        }
        self.held += held.unwrap_or_default();
        if end == HoldEnd::Awaits {
            if held.is_some() && !self.wakes.begin_wait(now) {
                registry.wake(now, self.route);
            }
            self.phase = Phase::Awaiting {
                since: now,
                begun: held.map_or(Await::Unmarked, |_| Await::Marked),
            };
        }
        now
    }

    /// Ends the wait that the span is in, if it is in one, and returns how the next hold begins.
    fn resume(&mut self, now: Timestamp, registry: &Registry) -> HoldStart {
        let Phase::Awaiting { since, begun } = self.phase else {
            return HoldStart::New;
        };
        self.phase = Phase::Out;
        let waited = now.duration_since(since);
        let end = self.wakes.end_wait();
        if begun == Await::Unmarked {
            self.awaited += waited;
            return HoldStart::New;
        }
        let WaitEnd::Woken { at, marked } = end else {
            self.awaited += waited;
            return HoldStart::AfterAwait;
        };
        if !marked {
            registry.wake(at, self.route);
        }
        let ready = now.duration_since(at).min(waited);
        self.awaited += waited - ready;
        self.ready += ready;
        HoldStart::AfterWake
    }

    /// Ends a wait in the counters after which no hold on a registered thread begins.
    fn end_wait(&self, now: Timestamp, registry: &Registry, start: HoldStart) {
        match start {
            HoldStart::New => {}
            HoldStart::AfterAwait => registry.end_await(now, self.route),
            HoldStart::AfterWake => registry.end_ready(now, self.route),
        }
    }

    /// Returns whether the request has ever waited without a thread.
    pub(super) fn has_awaited(&self) -> bool {
        matches!(self.phase, Phase::Awaiting { .. }) || self.awaited + self.ready > Nanos::ZERO
    }

    /// Returns the times of the request up to `now`.
    pub(super) fn so_far(&self, now: Timestamp) -> SpanTimes {
        let held = match self.phase {
            Phase::Holding => accounting::held_at(now).unwrap_or_default(),
            Phase::Out | Phase::Awaiting { .. } => self.held,
        };
        SpanTimes {
            held,
            awaited: self.awaited,
            ready: self.ready,
        }
    }

    /// Ends the hold or the await, whichever the span is in.
    pub(super) fn end(&mut self, now: Timestamp, registry: &Registry) {
        match self.phase {
            // As after the last poll.
            Phase::Out => {}
            Phase::Holding => {
                self.phase = Phase::Out;
                let held = accounting::release_at(now, self.route, HoldEnd::Done);
                self.held = held.unwrap_or_default();
            }
            Phase::Awaiting { .. } => {
                let start = self.resume(now, registry);
                self.end_wait(now, registry, start);
            }
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

/// End of the hold in which a future was polled.
pub(super) fn end_of<T>(polled: &Poll<T>) -> HoldEnd {
    match polled {
        Poll::Ready(_) => HoldEnd::Done,
        Poll::Pending => HoldEnd::Awaits,
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
    use std::task::Waker;
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
                let panic = || -> HoldEnd { panic!("on purpose") };
                let context = &mut Context::from_waker(Waker::noop());
                span.poll(Timestamp::now(), &registry, context, |_| panic())
            });
            assert!(catch_unwind(poll).is_err());
            drop(span);
            thread::sleep(Duration::from_millis(5));
            let held = accounting::held();
            assert_eq!(held, Some(Held::default()), "{thread_model:?}");
        }
    }
}
