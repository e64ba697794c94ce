//! Requests in flight, and a clock that advances only while there are any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kernel;

/// Requests in flight, and a clock that advances only while there are any.
///
/// Threads that share the same requests share one of these: an event loop has its own, the
/// workers of a work-stealing runtime have one together.
///
/// Count and clock live in one word, so that both change at once without a lock: the count in
/// the low 20 bits and, above it, the clock in ticks of 100 ns. While the count is 0 the upper
/// part is the clock's value V; while it is above 0 it is V − (the time it left 0), so that
/// adding the present time gives the clock. All of it is modulo 2⁴⁴ ticks (20 days), so only
/// differences between two moments less than 10 days apart mean anything.
#[derive(Debug, Default)]
pub struct InFlight(AtomicU64);

const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TICK_NS: u64 = 100;

impl InFlight {
    /// None in flight, the clock at 0.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One more request is in flight until the guard is dropped, on whichever thread.
    /// At most 1,048,575 (2²⁰ − 1) at once.
    ///
    /// ```
    /// use threadlab::thread_state::Registry;
    ///
    /// let registry = Registry::new("shop", []);
    /// let request = registry.in_flight().enter();
    /// assert_eq!(registry.requests_in_flight(), 1);
    /// drop(request);
    /// assert_eq!(registry.requests_in_flight(), 0);
    /// ```
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.update(|count| count + 1);
        InFlightGuard(Arc::clone(self))
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire) & COUNT_MASK
    }

    /// The clock in nanoseconds at `now`; only differences mean anything, see [`Self::between`].
    pub(super) fn clock(&self, now: u64) -> u64 {
        let word = self.0.load(Ordering::Acquire);
        let ticks = word >> COUNT_BITS;
        let running = if word & COUNT_MASK > 0 {
            now / TICK_NS
        } else {
            0
        };
        ticks.wrapping_add(running)
    }

    /// Nanoseconds by which the clock advanced between two of its values. It can seem to have gone
    /// back a little where a request came in between the caller's look at the time and at the
    /// clock; that is no advance.
    pub(super) fn between(earlier: u64, later: u64) -> u64 {
        // Shifted to the top, the modulus is that of the integer, and its sign the direction.
        let ticks = (later.wrapping_sub(earlier) << COUNT_BITS) as i64 >> COUNT_BITS;
        u64::try_from(ticks).unwrap_or(0) * TICK_NS
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (count, ticks) = (word & COUNT_MASK, word >> COUNT_BITS);
            let changed = change(count);
            // The clock is read only when the count leaves 0 or returns to it.
            let ticks = match (count, changed) {
                (0, 1..) => ticks.wrapping_sub(kernel::now() / TICK_NS),
                (1.., 0) => ticks.wrapping_add(kernel::now() / TICK_NS),
                _ => ticks,
            };
            let next = (ticks << COUNT_BITS) | (changed & COUNT_MASK);
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }
}

/// Keeps one request in flight.
#[derive(Debug)]
pub struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.update(|count| count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn advanced(in_flight: &InFlight, from: u64) -> Duration {
        Duration::from_nanos(InFlight::between(from, in_flight.clock(kernel::now())))
    }

    #[test]
    fn advances_only_while_requests_are_in_flight() {
        let in_flight = InFlight::new();
        let start = in_flight.clock(kernel::now());
        thread::sleep(Duration::from_millis(20));
        assert_eq!(advanced(&in_flight, start), Duration::ZERO);

        let first = in_flight.enter();
        let second = in_flight.enter();
        assert_eq!(in_flight.count(), 2);
        thread::sleep(Duration::from_millis(20));
        drop(first);
        let open = advanced(&in_flight, start);
        assert!(open >= Duration::from_millis(20), "{open:?}");
        drop(second);

        let closed = advanced(&in_flight, start);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(advanced(&in_flight, start), closed);
        assert_eq!(in_flight.count(), 0);
    }

    #[test]
    fn a_request_that_comes_while_the_clock_is_read_is_no_advance() {
        let in_flight = InFlight::new();
        let before = in_flight.clock(kernel::now());
        let looked = kernel::now();
        while kernel::now() < looked + 10 * TICK_NS {}
        let _request = in_flight.enter();
        assert_eq!(InFlight::between(before, in_flight.clock(looked)), 0);
        // The clock may pass the end of its range meanwhile.
        assert_eq!(InFlight::between(u64::MAX >> COUNT_BITS, 1), 2 * TICK_NS);
    }

    #[test]
    fn many_threads_leave_no_count_behind_and_no_time_beyond_the_wall() {
        let in_flight = InFlight::new();
        let (start, begun) = (in_flight.clock(kernel::now()), kernel::now());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50_000).for_each(|_| drop(in_flight.enter())));
            }
        });
        assert_eq!(in_flight.count(), 0);
        let wall = Duration::from_nanos(kernel::now() - begun);
        let advanced = advanced(&in_flight, start);
        assert!(
            advanced > Duration::ZERO && advanced <= wall,
            "{advanced:?} of {wall:?}"
        );
    }
}
