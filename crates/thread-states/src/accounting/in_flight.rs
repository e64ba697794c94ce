//! Requests in flight, and a clock that advances only while there are any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kernel;

/// Requests in flight, and a clock that advances only while there are any.
///
/// Threads that share the same requests share one of these ([`InFlight::new`]), such as the
/// workers of a work-stealing runtime; an event loop has its own ([`InFlight::of_one_thread`]).
///
/// The clock matters to threads that are parked. One thread's own stands still while that thread
/// is not parked, so that its requests, most of which come and go meanwhile, need not read the time.
///
/// Count and clock live in one word, so that both change at once without a lock: the count in
/// the low 20 bits, then a bit that tells whether the clock is watched, and above them the clock
/// in ticks of 100 ns. While it stands still the upper part is the clock's value V; while it
/// advances it is V − (the time it began to), so that adding the present time gives the clock. All
/// of it is modulo 2⁴³ ticks (10 days), so only differences between two moments less than 5 days
/// apart mean anything.
#[derive(Debug)]
pub struct InFlight {
    word: AtomicU64,
    /// Whether only one thread parks here.
    of_one_thread: bool,
}

const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const WATCHED: u64 = 1 << COUNT_BITS;
const CLOCK_SHIFT: u32 = COUNT_BITS + 1;
const TICK_NS: u64 = 100;

impl InFlight {
    /// None in flight, for any number of threads.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(WATCHED),
            of_one_thread: false,
        })
    }

    /// None in flight, for one thread that is registered with it. Requests may come and go on
    /// other threads, too.
    #[must_use]
    pub fn of_one_thread() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(0),
            of_one_thread: true,
        })
    }

    /// One more request is in flight until the guard is dropped, on whichever thread.
    /// At most 1,048,575 (2²⁰ − 1) at once.
    ///
    /// ```
    /// use thread_states::Registry;
    ///
    /// let registry = Registry::new("shop", []);
    /// let request = registry.in_flight().enter();
    /// assert_eq!(registry.requests_in_flight(), 1);
    /// drop(request);
    /// assert_eq!(registry.requests_in_flight(), 0);
    /// ```
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.update(|word| word + 1, kernel::now);
        InFlightGuard(Arc::clone(self))
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.word.load(Ordering::Acquire) & COUNT_MASK
    }

    /// The clock in nanoseconds at `now`; only differences mean anything, see [`Self::between`].
    pub(super) fn clock(&self, now: u64) -> u64 {
        clock(self.word.load(Ordering::Acquire), now)
    }

    /// A thread is parked from `now` on; returns the clock then.
    pub(super) fn park(&self, now: u64) -> u64 {
        if self.of_one_thread {
            self.update(|word| word | WATCHED, || now);
        }
        self.clock(now)
    }

    /// A thread was parked until `now`; returns the clock then.
    pub(super) fn unpark(&self, now: u64) -> u64 {
        if self.of_one_thread {
            self.update(|word| word & !WATCHED, || now);
        }
        self.clock(now)
    }

    /// Nanoseconds by which the clock advanced between two of its values. It can seem to have gone
    /// back a little where a request came in between the caller's look at the time and at the
    /// clock; that is no advance.
    pub(super) fn between(earlier: u64, later: u64) -> u64 {
        // Shifted to the top, the modulus is that of the integer, and its sign the direction.
        let ticks = (later.wrapping_sub(earlier) << CLOCK_SHIFT) as i64 >> CLOCK_SHIFT;
        u64::try_from(ticks).unwrap_or(0) * TICK_NS
    }

    /// Changes count or watch. The time is asked for only if the clock begins or ends to advance.
    fn update(&self, change: impl Fn(u64) -> u64, now: impl Fn() -> u64) {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let changed = change(word);
            let next = match (advances(word), advances(changed)) {
                (false, true) => with_clock(
                    changed,
                    (changed >> CLOCK_SHIFT).wrapping_sub(now() / TICK_NS),
                ),
                (true, false) => with_clock(changed, clock(word, now())),
                _ => changed,
            };
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }
}

fn advances(word: u64) -> bool {
    word & COUNT_MASK > 0 && word & WATCHED > 0
}

fn clock(word: u64, now: u64) -> u64 {
    let advanced = if advances(word) { now / TICK_NS } else { 0 };
    (word >> CLOCK_SHIFT).wrapping_add(advanced)
}

fn with_clock(word: u64, ticks: u64) -> u64 {
    (word & (COUNT_MASK | WATCHED)) | (ticks << CLOCK_SHIFT)
}

/// Keeps one request in flight.
#[derive(Debug)]
pub struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let one_less = |word| word - u64::from(word & COUNT_MASK > 0);
        self.0.update(one_less, kernel::now);
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
    fn one_threads_own_advances_only_while_it_is_parked() {
        let in_flight = InFlight::of_one_thread();
        let parked_for = |ms| {
            let parked = in_flight.park(kernel::now());
            thread::sleep(Duration::from_millis(ms));
            Duration::from_nanos(InFlight::between(parked, in_flight.unpark(kernel::now())))
        };
        let first = in_flight.enter();
        let start = in_flight.clock(kernel::now());
        thread::sleep(Duration::from_millis(20));
        assert_eq!(advanced(&in_flight, start), Duration::ZERO);
        assert!(parked_for(20) >= Duration::from_millis(20));
        let unparked = in_flight.clock(kernel::now());
        thread::sleep(Duration::from_millis(20));
        assert_eq!(advanced(&in_flight, unparked), Duration::ZERO);

        drop(first);
        assert_eq!(parked_for(20), Duration::ZERO);
        let parked = in_flight.park(kernel::now());
        let late = thread::scope(|scope| scope.spawn(|| in_flight.enter()).join().unwrap());
        thread::sleep(Duration::from_millis(20));
        drop(late);
        let closed = advanced(&in_flight, parked);
        assert!(closed >= Duration::from_millis(20), "{closed:?}");
        thread::sleep(Duration::from_millis(20));
        assert_eq!(advanced(&in_flight, parked), closed);
        assert_eq!(in_flight.count(), 0);
    }

    #[test]
    fn one_that_threads_share_advances_for_who_is_parked_while_another_is_not() {
        let in_flight = InFlight::new();
        let _request = in_flight.enter();
        let [parked, _other] = [(); 2].map(|()| in_flight.park(kernel::now()));
        in_flight.unpark(kernel::now());
        thread::sleep(Duration::from_millis(20));
        assert!(advanced(&in_flight, parked) >= Duration::from_millis(20));
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
        assert_eq!(InFlight::between(u64::MAX >> CLOCK_SHIFT, 1), 2 * TICK_NS);
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
