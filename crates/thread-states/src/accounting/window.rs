//! The arithmetic: from the kernel's counters and the thread's own marks to the five states.
//!
//! A window is what happened to a thread since its counters were last read (its base). With W
//! wall time, C CPU time and D run-queue delay since the base, the thread was off CPU for
//! O = W − C − D. The thread itself knows P, how long it was parked in that time. Of O,
//!
//! * the parked part is min(P, O): P holds the CPU time and the delay of going to sleep and
//!   waking as well, which O does not. It is `awaiting` in the share in which requests were in
//!   flight while parked, and `idle` for the rest;
//! * what is left is `blocked`; but where the thread cannot have left the CPU of its own will
//!   outside its parks, it cannot have blocked: the hypervisor stole the time, or a delay has not
//!   arrived yet, and it is `runnable`.
//!
//! So the five sum to W by construction, and only the splits can be wrong.

use super::in_flight::InFlight;
use super::kernel::Reading;
use super::state::{State, Times};

/// A park this long (in nanoseconds) slept for certain, so one switch is its own.
const SURE_SLEEP: u64 = 50_000;

/// The start of a park.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Park {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) wall: u64,
    /// The value of the in-flight clock then.
    pub(super) in_flight: u64,
}

/// What a thread did since its counters were last read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// The counters at the start of the window.
    pub(super) base: Reading,
    /// Nanoseconds parked, in parks that have ended.
    pub(super) parked: u64,
    /// The part of `parked` during which requests were in flight.
    pub(super) parked_in_flight: u64,
    /// Parks in it that slept for certain.
    pub(super) sleeps: u64,
    /// The park that goes on.
    pub(super) park: Option<Park>,
}

impl Window {
    /// A window that begins with `base`, in the middle of `park` if there is one.
    pub(super) fn new(base: Reading, park: Option<Park>) -> Self {
        Self {
            base,
            park,
            ..Self::default()
        }
    }

    /// Ends the park that goes on, if one does.
    pub(super) fn unpark(&mut self, wall: u64, in_flight: u64) {
        let (parked, parked_in_flight) = self.parked_until(wall, in_flight);
        self.sleeps += u64::from(parked - self.parked >= SURE_SLEEP);
        (self.parked, self.parked_in_flight) = (parked, parked_in_flight);
        self.park = None;
    }

    /// The times of the five states from the base to `now`; `in_flight` is the in-flight clock's
    /// value then. They sum to the wall time between the two.
    ///
    /// `not_blocked` tells for how many nanoseconds off CPU the thread cannot have blocked; it is
    /// asked only where the answer matters.
    pub(super) fn settle(
        &self,
        now: &Reading,
        in_flight: u64,
        not_blocked: impl FnOnce() -> u64,
    ) -> Times {
        let wall = now.wall.saturating_sub(self.base.wall);
        let running = now.cpu.saturating_sub(self.base.cpu).min(wall);
        let delay = now
            .delay
            .saturating_sub(self.base.delay)
            .min(wall - running);
        let off_cpu = wall - running - delay;

        let (parked, parked_in_flight) = self.parked_until(now.wall, in_flight);
        let off_cpu_parked = parked.min(off_cpu);
        let awaiting = share(off_cpu_parked, parked_in_flight, parked);

        let rest = off_cpu - off_cpu_parked;
        let blocked = if rest > 0 {
            rest.saturating_sub(not_blocked())
        } else {
            0
        };

        let mut times = Times::default();
        times[State::Running] = running;
        times[State::Runnable] = delay + rest - blocked;
        times[State::Blocked] = blocked;
        times[State::Awaiting] = awaiting;
        times[State::Idle] = off_cpu_parked - awaiting;
        times
    }

    /// Whether the thread may have left the CPU of its own will outside its parks, if `switches` is
    /// how often it has done so at all.
    pub(super) fn may_have_blocked(&self, switches: u64) -> bool {
        let sleeps = self.sleeps + u64::from(self.park.is_some());
        switches.saturating_sub(self.base.switches) > sleeps
    }

    /// Time parked, and the part of it with requests in flight, including the park that goes on.
    fn parked_until(&self, wall: u64, in_flight: u64) -> (u64, u64) {
        let Some(park) = self.park else {
            return (self.parked, self.parked_in_flight);
        };
        let parked = wall.saturating_sub(park.wall);
        let with_requests = InFlight::between(park.in_flight, in_flight).min(parked);
        (self.parked + parked, self.parked_in_flight + with_requests)
    }
}

/// `part / whole` of `of`, for `part` ≤ `whole`; 0 of nothing.
fn share(of: u64, part: u64, whole: u64) -> u64 {
    (u128::from(of) * u128::from(part))
        .checked_div(u128::from(whole))
        .unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const TICKS_PER_MS: u64 = MS / 100;

    fn reading(wall: u64, cpu: u64, delay: u64) -> Reading {
        Reading {
            wall: wall * MS,
            cpu: cpu * MS,
            delay: delay * MS,
            switches: 0,
        }
    }

    /// Milliseconds in each state, in the order of `State::ALL`, as the thread itself sees it.
    fn settle(window: &Window, now: Reading, in_flight: u64, switches: u64) -> [u64; 5] {
        let not_blocked = || {
            if window.may_have_blocked(switches) {
                0
            } else {
                u64::MAX
            }
        };
        window
            .settle(&now, in_flight, not_blocked)
            .to_words()
            .map(|ns| ns / MS)
    }

    fn parked_at(wall: u64) -> Window {
        let park = Park {
            wall: wall * MS,
            in_flight: 0,
        };
        Window::new(Reading::default(), Some(park))
    }

    #[test]
    fn a_thread_that_never_parks_is_blocked_when_it_left_the_cpu_of_its_own_will() {
        let window = Window::default();
        assert_eq!(
            settle(&window, reading(100, 30, 20), 0, 1),
            [30, 20, 50, 0, 0]
        );
    }

    #[test]
    fn time_lost_without_a_voluntary_switch_was_stolen() {
        let window = Window::default();
        assert_eq!(
            settle(&window, reading(100, 30, 20), 0, 0),
            [30, 70, 0, 0, 0]
        );
    }

    #[test]
    fn a_park_awaits_while_requests_are_in_flight_and_idles_else() {
        let mut window = parked_at(10);
        let in_flight = 60 * TICKS_PER_MS;
        assert_eq!(
            settle(&window, reading(100, 10, 0), in_flight, 1),
            [10, 0, 0, 60, 30]
        );
        window.unpark(100 * MS, in_flight);
        assert_eq!(
            settle(&window, reading(110, 20, 0), in_flight, 1),
            [20, 0, 0, 60, 30]
        );
    }

    #[test]
    fn waking_late_is_no_part_of_the_park() {
        let mut window = parked_at(0);
        window.unpark(50 * MS, 0);
        // 20 ms of the 50 ms parked were spent in the run queue after the wake.
        assert_eq!(settle(&window, reading(50, 0, 20), 0, 1), [0, 20, 0, 0, 30]);
    }

    #[test]
    fn blocking_after_a_park_is_seen() {
        let mut window = parked_at(0);
        window.unpark(50 * MS, 0);
        assert_eq!(settle(&window, reading(90, 0, 0), 0, 2), [0, 0, 40, 0, 50]);
    }

    #[test]
    fn the_switch_of_a_park_that_slept_is_no_blocking() {
        let mut window = parked_at(0);
        window.unpark(50 * MS, 0);
        // The 40 ms after it were stolen: the thread has left the CPU for its park and no more.
        assert_eq!(settle(&window, reading(90, 0, 0), 0, 1), [0, 40, 0, 0, 50]);
    }

    #[test]
    fn a_park_that_may_not_have_slept_explains_no_switch() {
        let mut window = parked_at(0);
        window.unpark(SURE_SLEEP - 1, 0);
        assert!(window.may_have_blocked(1));
        // One that goes on does.
        assert!(!parked_at(0).may_have_blocked(1));
    }

    proptest! {
        #[test]
        fn the_states_sum_to_the_wall_time(
            wall in 0..u64::MAX / 4, cpu in 0..u64::MAX / 4, delay in 0..u64::MAX / 4,
            parked in 0..u64::MAX / 8, with in 0..u64::MAX / 8, park in proptest::option::of(0..u64::MAX / 8),
            in_flight in any::<u64>(), not_blocked in any::<u64>(),
        ) {
            let window = Window {
                parked,
                parked_in_flight: with.min(parked),
                park: park.map(|wall| Park { wall, in_flight: 7 }),
                ..Window::default()
            };
            let now = Reading { wall, cpu, delay, switches: 0 };
            let times = window.settle(&now, in_flight, || not_blocked);
            prop_assert_eq!(times.total(), wall);
        }
    }
}
