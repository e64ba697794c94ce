//! Requests in flight, and a clock that advances only while there are any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::units::{Nanos, Timestamp};
use super::words::Words;

/// Number of requests in flight, and a clock that advances only while it is above 0.
///
/// The clock splits the time of a parked thread into awaiting and idle, in O(1): its advance during
/// the park is the time with requests in flight, on whichever threads they began and ended.
///
/// Threads that share requests share one of these ([`InFlight::new`]), such as the workers of a
/// work-stealing runtime; an event loop has its own ([`InFlight::of_one_thread`]). A clock of one
/// thread stops while that thread is not parked: most requests come and go meanwhile, and these
/// need not read the time. That of a thread which serves one request at a time always stands still
/// ([`InFlight::of_thread_per_request`]).
///
/// Count and clock share one word, so that both change at once without a lock: the count in the
/// low 20 bits, then a bit that is set while a thread may be parked ("watched"), and above them the
/// clock in ticks of 100 ns. While the clock stands still, the upper part is its value V. While it
/// advances, the upper part is V − (the time at which it started to), so that adding the present time
/// gives its value. All of it is modulo 2⁴³ ticks (10 days), so only the difference of two values less
/// than 5 days apart means anything.
#[derive(Debug)]
pub struct InFlight {
    word: AtomicU64,
    /// Only one thread parks here, so the clock is needed only during its parks.
    of_one_thread: bool,
}

const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const WATCHED: u64 = 1 << COUNT_BITS;
const CLOCK_SHIFT: u32 = COUNT_BITS + 1;
const TICK: Nanos = Nanos::from_nanos(100);

/// A value of the in-flight clock, in ticks of 100 ns modulo 2⁴³.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ticks(u64);

impl Ticks {
    fn of(time: Timestamp) -> Self {
        Self(time.as_nanos() / TICK.as_nanos())
    }

    /// Time by which the clock advanced from this value to `later`.
    ///
    /// A request may begin between the caller's read of the time and its read of the clock. The clock
    /// then seems to have gone back a little, which counts as no advance.
    pub(super) fn until(self, later: Self) -> Nanos {
        // Shifted to the top, the modulus is that of the integer, and the sign is the direction.
        let ticks = (later.0.wrapping_sub(self.0) << CLOCK_SHIFT) as i64 >> CLOCK_SHIFT;
        Nanos::from_nanos(u64::try_from(ticks).unwrap_or(0) * TICK.as_nanos())
    }
}

impl Words for Ticks {
    const COUNT: usize = 1;

    #[inline]
    fn encode(&self, words: &mut [u64]) {
        words[0] = self.0;
    }

    fn decode(words: &mut impl Iterator<Item = u64>) -> Self {
        Self(u64::decode(words))
    }
}

impl InFlight {
    /// Returns a count of 0, for any number of threads.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(WATCHED),
            of_one_thread: false,
        })
    }

    /// Returns a count of 0, for one thread that is registered with it. Requests may begin and end on
    /// other threads, too.
    #[must_use]
    pub fn of_one_thread() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(0),
            of_one_thread: true,
        })
    }

    /// Returns a count of 0, for one thread that is registered with it and serves one request at a time. It has none in
    /// flight while it is parked, so its parks are idle time, and need no clock.
    #[must_use]
    pub fn of_thread_per_request() -> Arc<Self> {
        Arc::new(Self {
            // Never watched, so that the clock stands still.
            word: AtomicU64::new(0),
            of_one_thread: false,
        })
    }

    /// Counts one more request until the guard is dropped, on whichever thread.
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
    pub fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.begin();
        InFlightGuard(Arc::clone(self))
    }

    /// Counts one more request, as [`Self::enter`] does, until [`Self::end`]. For code that has a guard of its own, in
    /// which a second reference to the count would be one too many.
    pub fn begin(&self) {
        self.begin_by(Timestamp::now);
    }

    /// Ends a request that [`Self::begin`] began.
    pub fn end(&self) {
        self.end_by(Timestamp::now);
    }

    /// Counts one more request, as [`Self::enter`] does, from a time that was just read, until [`Self::end_at`].
    pub(crate) fn begin_at(&self, now: Timestamp) {
        self.begin_by(|| now);
    }

    /// Ends a request at a time that was just read.
    pub(crate) fn end_at(&self, now: Timestamp) {
        self.end_by(|| now);
    }

    fn begin_by(&self, now: impl Fn() -> Timestamp) {
        self.update(|word| word + 1, now);
    }

    fn end_by(&self, now: impl Fn() -> Timestamp) {
        self.update(|word| word - u64::from(word & COUNT_MASK > 0), now);
    }

    /// Number of requests in flight.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.word.load(Ordering::Acquire) & COUNT_MASK
    }

    /// Sets the number to 0.
    pub(super) fn reset(&self) {
        self.update(|word| word & !COUNT_MASK, Timestamp::now);
    }

    /// Value of the clock at `now`.
    pub(super) fn clock(&self, now: Timestamp) -> Ticks {
        clock(self.word.load(Ordering::Acquire), now)
    }

    /// Marks a thread as parked from `now` on; returns the value of the clock then.
    pub(super) fn park(&self, now: Timestamp) -> Ticks {
        if self.of_one_thread {
            self.update(|word| word | WATCHED, || now);
        }
        self.clock(now)
    }

    /// Marks a thread as no longer parked at `now`; returns the value of the clock then.
    pub(super) fn unpark(&self, now: Timestamp) -> Ticks {
        if self.of_one_thread {
            self.update(|word| word & !WATCHED, || now);
        }
        self.clock(now)
    }

    /// Changes the count or the watched bit. Reads the time only if the clock starts or stops.
    fn update(&self, change: impl Fn(u64) -> u64, now: impl Fn() -> Timestamp) {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let changed = change(word);
            let next = match (advances(word), advances(changed)) {
                (false, true) => {
                    let Ticks(now) = Ticks::of(now());
                    with_clock(changed, Ticks((changed >> CLOCK_SHIFT).wrapping_sub(now)))
                }
                (true, false) => with_clock(changed, clock(word, now())),
                _ => changed,
            };
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }
}

fn advances(word: u64) -> bool {
    word & COUNT_MASK > 0 && word & WATCHED > 0
}

fn clock(word: u64, now: Timestamp) -> Ticks {
    let Ticks(advanced) = if advances(word) {
        Ticks::of(now)
    } else {
        Ticks(0)
    };
    Ticks((word >> CLOCK_SHIFT).wrapping_add(advanced))
}

fn with_clock(word: u64, Ticks(clock): Ticks) -> u64 {
    (word & (COUNT_MASK | WATCHED)) | (clock << CLOCK_SHIFT)
}

/// Keeps one request in flight until it is dropped.
#[derive(Debug)]
#[must_use = "the request is in flight until this is dropped"]
pub struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn advanced(in_flight: &InFlight, from: Ticks) -> Duration {
        from.until(in_flight.clock(Timestamp::now())).into()
    }

    #[test]
    fn the_clock_advances_only_while_requests_are_in_flight() {
        let in_flight = InFlight::new();
        let start = in_flight.clock(Timestamp::now());
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
    fn the_clock_starts_and_stops_at_times_that_were_read() {
        let in_flight = InFlight::new();
        let at = |micros: u64| Timestamp::from_nanos(1_000 * micros);
        let start = in_flight.clock(at(0));
        for (begin, end) in [(5, 8), (20, 21)] {
            in_flight.begin_at(at(begin));
            in_flight.end_at(at(end));
        }
        assert_eq!(start.until(in_flight.clock(at(30))), Nanos::from_micros(4));
        assert_eq!(in_flight.count(), 0);
    }

    #[test]
    fn the_clock_of_one_thread_advances_only_while_it_is_parked() {
        let in_flight = InFlight::of_one_thread();
        let parked_for = |ms| {
            let parked = in_flight.park(Timestamp::now());
            thread::sleep(Duration::from_millis(ms));
            Duration::from(parked.until(in_flight.unpark(Timestamp::now())))
        };
        let first = in_flight.enter();
        let start = in_flight.clock(Timestamp::now());
        thread::sleep(Duration::from_millis(20));
        assert_eq!(advanced(&in_flight, start), Duration::ZERO);
        assert!(parked_for(20) >= Duration::from_millis(20));
        let unparked = in_flight.clock(Timestamp::now());
        thread::sleep(Duration::from_millis(20));
        assert_eq!(advanced(&in_flight, unparked), Duration::ZERO);

        drop(first);
        assert_eq!(parked_for(20), Duration::ZERO);
        let parked = in_flight.park(Timestamp::now());
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
    fn the_clock_of_a_thread_per_request_stands_still() {
        let in_flight = InFlight::of_thread_per_request();
        let start = in_flight.clock(Timestamp::now());
        for _ in 0..2 {
            let parked = in_flight.park(Timestamp::now());
            assert_eq!(parked, in_flight.unpark(Timestamp::now()));
            in_flight.begin();
            assert_eq!(in_flight.count(), 1);
            in_flight.end();
            assert_eq!(in_flight.count(), 0);
        }
        thread::sleep(Duration::from_millis(1));
        assert_eq!(advanced(&in_flight, start), Duration::ZERO);
    }

    #[test]
    fn a_shared_clock_advances_while_one_thread_is_parked_and_another_is_not() {
        let in_flight = InFlight::new();
        let _request = in_flight.enter();
        let [parked, _other] = [(); 2].map(|()| in_flight.park(Timestamp::now()));
        in_flight.unpark(Timestamp::now());
        thread::sleep(Duration::from_millis(20));
        assert!(advanced(&in_flight, parked) >= Duration::from_millis(20));
    }

    #[test]
    fn a_request_that_begins_while_the_clock_is_read_does_not_advance_it() {
        let in_flight = InFlight::new();
        let before = in_flight.clock(Timestamp::now());
        let earlier = Timestamp::now();
        while earlier.elapsed() < Nanos::from_micros(1) {}
        let _request = in_flight.enter();
        assert_eq!(before.until(in_flight.clock(earlier)), Nanos::ZERO);
        // The clock may pass the end of its range meanwhile.
        let last = Ticks(u64::MAX >> CLOCK_SHIFT);
        assert_eq!(last.until(Ticks(1)), Nanos::from_nanos(200));
    }

    #[test]
    fn concurrent_requests_leave_no_count_and_no_more_than_the_wall_time() {
        let in_flight = InFlight::new();
        let (start, begun) = (in_flight.clock(Timestamp::now()), Timestamp::now());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50_000).for_each(|_| drop(in_flight.enter())));
            }
        });
        assert_eq!(in_flight.count(), 0);
        let wall = Duration::from(begun.elapsed());
        let advanced = advanced(&in_flight, start);
        assert!(
            advanced > Duration::ZERO && advanced <= wall,
            "{advanced:?} of {wall:?}"
        );
    }
}
