//! One request's hold on its thread, and its waits without one.

use std::task::Poll;
use std::time::{Duration, Instant};

use super::Waits;
use crate::thread_state::{self, Held};

/// One request's hold on its thread, and its waits without one; marked in the thread's clock as
/// they happen, so that a scrape during a blocking call already names the route.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) route: usize,
    waits: Waits,
    phase: Phase,
    held: Held,
    awaited: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Neither held nor awaiting: before the first poll, and after the end.
    Out,
    /// Holds the thread from poll to poll.
    Holding,
    /// Waits without a thread since then.
    Awaiting(Instant),
}

impl Span {
    /// Begins the span of a request to a route, given by its index.
    pub(super) fn begin(route: usize, waits: Waits) -> Self {
        let phase = match waits {
            Waits::WithThread => {
                thread_state::hold(route, false);
                Phase::Holding
            }
            Waits::WithoutThread => Phase::Out,
        };
        Self {
            route,
            waits,
            phase,
            held: Held::default(),
            awaited: Duration::ZERO,
        }
    }

    /// Polls a part of the request's work.
    pub(super) fn poll<T>(&mut self, work: impl FnOnce() -> Poll<T>) -> Poll<T> {
        if self.waits == Waits::WithThread {
            return work();
        }
        let awaited = match std::mem::replace(&mut self.phase, Phase::Out) {
            Phase::Awaiting(since) => {
                self.awaited += since.elapsed();
                true
            }
            Phase::Out | Phase::Holding => false,
        };
        thread_state::hold(self.route, awaited);
        let hold = ReleaseOnPanic(self.route);
        let polled = work();
        std::mem::forget(hold);
        let awaits = polled.is_pending();
        self.held += thread_state::release(self.route, awaits).unwrap_or_default();
        if awaits {
            self.phase = Phase::Awaiting(Instant::now());
        }
        polled
    }

    /// Whether the request has ever waited without a thread.
    pub(super) fn awaits(&self) -> bool {
        matches!(self.phase, Phase::Awaiting(_)) || self.awaited > Duration::ZERO
    }

    /// How long the request held a thread so far, and how long it waited without one.
    pub(super) fn so_far(&self) -> (Held, Duration) {
        let held = match self.phase {
            Phase::Holding => thread_state::held().unwrap_or_default(),
            Phase::Out | Phase::Awaiting(_) => self.held,
        };
        (held, self.awaited)
    }

    /// Ends the hold or the wait, whichever it is in.
    pub(super) fn end(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Out) {
            Phase::Out => {}
            Phase::Holding => {
                thread_state::release(self.route, false);
            }
            Phase::Awaiting(since) => {
                self.awaited += since.elapsed();
                thread_state::abandon(self.route);
            }
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends the hold of a poll that panicked.
struct ReleaseOnPanic(usize);

impl Drop for ReleaseOnPanic {
    fn drop(&mut self) {
        thread_state::release(self.0, false);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::*;
    use crate::thread_state::{InFlight, Registry};

    #[test]
    fn a_panic_ends_the_hold() {
        let registry = Registry::new("test", ["/".to_owned()]);
        let _registration = registry.register(0, InFlight::new());
        for waits in [Waits::WithThread, Waits::WithoutThread] {
            let mut span = Span::begin(0, waits);
            let poll = AssertUnwindSafe(|| span.poll(|| -> Poll<()> { panic!("on purpose") }));
            assert!(catch_unwind(poll).is_err());
            drop(span);
            thread::sleep(Duration::from_millis(5));
            assert_eq!(thread_state::held(), Some(Held::default()), "{waits:?}");
        }
    }
}
