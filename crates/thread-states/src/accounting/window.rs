//! The arithmetic: from the kernel's counters and the thread's own marks to the five states.
//!
//! A window is what happened to a thread since its counters were last read (its base). With W
//! wall time, C CPU time and D run-queue delay since the base, the thread was off CPU for
//! O = W − C − D. The thread itself knows P, the time for which it was parked. Of O,
//!
//! * the parked part is min(P, O): P also contains the CPU time and the delay of going to sleep and
//!   waking up, which O does not. It is `awaiting` in the share of P in which requests were in
//!   flight, and `idle` for the rest;
//! * the rest is `blocked`, unless the thread made no voluntary context switch outside its parks.
//!   Then it cannot have blocked: the hypervisor stole the time, or a delay has not arrived yet
//!   (see `kernel::linux`), and it is `runnable`. If another thread reads the counters, a part may be undecided;
//!   that is held back.
//!
//! So the five and what is held back sum to W by construction, and only the splits can be wrong.
//!
//! Reading the counters costs 1 to 2 µs, so a busy thread reads them at some of its marks only. A
//! window therefore spans many marks, and keeps of the parks in it no more than three sums.

use super::in_flight::Ticks;
use super::kernel::Counters;
use super::state::{State, Times};
use super::units::{Nanos, Timestamp};
use super::words::words;

/// A park at least this long slept for certain, so one voluntary switch was its own. A shorter one may
/// have found work at once: subtracting a switch for it would hide one that was blocking.
const CERTAIN_SLEEP: Nanos = Nanos::from_micros(50);

/// Start of a park.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Park {
    pub(super) wall: Timestamp,
    /// Value of the in-flight clock then.
    pub(super) in_flight: Ticks,
}

words!(Park {
    wall: Timestamp,
    in_flight: Ticks,
});

/// Parks of a thread since its counters were last read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parks {
    /// Time in parks that have ended.
    pub(super) parked: Nanos,
    /// Part of `parked` during which requests were in flight.
    pub(super) parked_in_flight: Nanos,
    /// Number of parks that slept for certain.
    pub(super) sleeps: u64,
    /// The park that is under way.
    pub(super) park: Option<Park>,
}

words!(Parks {
    parked: Nanos,
    parked_in_flight: Nanos,
    sleeps: u64,
    park: Option<Park>,
});

/// Marks of a thread since its counters were last read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Counters at the start of the window.
    pub(super) base: Counters,
    pub(super) parks: Parks,
}

words!(Window {
    base: Counters,
    parks: Parks,
});

/// Time off CPU since the base of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OffCpu {
    /// Outside of parks.
    pub(super) rest: Nanos,
    /// In parks, with what their beginning and end took.
    pub(super) parked: Nanos,
}

/// Bounds of the time for which a thread was blocked. They are equal where that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BlockedBounds {
    pub(super) least: Nanos,
    pub(super) most: Nanos,
}

impl BlockedBounds {
    /// Known to be this time.
    pub(super) fn exactly(blocked: Nanos) -> Self {
        Self {
            least: blocked,
            most: blocked,
        }
    }
}

/// Times of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WindowTimes {
    pub(super) times: Times,
    /// Time that was blocked or runnable, which a later reading decides.
    pub(super) held_back: Nanos,
}

impl Parks {
    /// Ends the park that is under way, if there is one.
    pub(super) fn unpark(&mut self, wall: Timestamp, in_flight: Ticks) {
        let (parked, parked_in_flight) = self.until(wall, in_flight);
        self.sleeps += u64::from(parked - self.parked >= CERTAIN_SLEEP);
        (self.parked, self.parked_in_flight) = (parked, parked_in_flight);
        self.park = None;
    }

    /// Time parked, and the part of it with requests in flight, including the park under way.
    fn until(&self, wall: Timestamp, in_flight: Ticks) -> (Nanos, Nanos) {
        let Some(park) = self.park else {
            return (self.parked, self.parked_in_flight);
        };
        let parked = wall.duration_since(park.wall);
        let with_requests = park.in_flight.until(in_flight).min(parked);
        (self.parked + parked, self.parked_in_flight + with_requests)
    }
}

impl Window {
    /// A window that begins with `base`, in the middle of `park` if there is one.
    pub(super) fn new(base: Counters, park: Option<Park>) -> Self {
        let parks = Parks {
            park,
            ..Parks::default()
        };
        Self { base, parks }
    }

    /// Returns the times of the five states from the base to `now`, and the time that is held back; `in_flight` is
    /// the value of the in-flight clock then. They sum to the wall time between the two.
    ///
    /// `blocked` returns for how much of its time off CPU the thread has blocked. It is called only where
    /// the result matters, because it may have to read the thread's `status`.
    pub(super) fn settle(
        &self,
        now: &Counters,
        in_flight: Ticks,
        blocked: impl FnOnce(OffCpu) -> BlockedBounds,
    ) -> WindowTimes {
        let wall = now.wall.duration_since(self.base.wall);
        // The counters are read one after the other, so each may exceed what the one before allows.
        let running = now.cpu.saturating_sub(self.base.cpu).min(wall);
        let delay = now
            .delay
            .saturating_sub(self.base.delay)
            .min(wall - running);
        let off_cpu = wall - running - delay;

        let (parked, parked_in_flight) = self.parks.until(now.wall, in_flight);
        let off_cpu_parked = parked.min(off_cpu);
        let awaiting = share(off_cpu_parked, parked_in_flight, parked);

        let rest = off_cpu - off_cpu_parked;
        let BlockedBounds { least, most } = if rest > Nanos::ZERO {
            blocked(OffCpu { rest, parked })
        } else {
            BlockedBounds::default()
        };
        let most = most.min(rest);
        let least = least.min(most);

        let times = Times::of_each(|state| match state {
            State::Running => running,
            State::Runnable => delay + (rest - most),
            State::Blocked => least,
            State::Awaiting => awaiting,
            State::Idle => off_cpu_parked - awaiting,
        });
        WindowTimes {
            times,
            held_back: most - least,
        }
    }

    /// Returns whether the thread may have made a voluntary switch outside its parks; `switches` is
    /// the number of all that it has made.
    pub(super) fn may_have_blocked(&self, switches: u64) -> bool {
        let Parks { sleeps, park, .. } = self.parks;
        let sleeps = sleeps + u64::from(park.is_some());
        switches.saturating_sub(self.base.switches) > sleeps
    }
}

/// `of · part / whole`, for `part` ≤ `whole`; 0 if `whole` is.
fn share(of: Nanos, part: Nanos, whole: Nanos) -> Nanos {
    let [of, part, whole] = [of, part, whole].map(|time| u128::from(time.as_nanos()));
    Nanos::from_nanos((of * part).checked_div(whole).unwrap_or(0) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::Words;
    use super::*;

    fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::default() + Nanos::from_millis(milliseconds)
    }

    /// Value of the in-flight clock after so many milliseconds.
    fn ticks(milliseconds: u64) -> Ticks {
        Ticks::decode(&mut [milliseconds * 10_000].into_iter())
    }

    fn counters(wall: u64, cpu: u64, delay: u64) -> Counters {
        Counters {
            wall: ms(wall),
            cpu: Nanos::from_millis(cpu),
            delay: Nanos::from_millis(delay),
            switches: 0,
            preemptions: 0,
        }
    }

    /// Milliseconds in each state, in the order of `State::ALL`, as the thread itself computes them.
    fn settle(window: &Window, now: Counters, in_flight: Ticks, switches: u64) -> [u64; 5] {
        let blocked = |off_cpu: OffCpu| {
            BlockedBounds::exactly(if window.may_have_blocked(switches) {
                off_cpu.rest
            } else {
                Nanos::ZERO
            })
        };
        let WindowTimes { times, held_back } = window.settle(&now, in_flight, blocked);
        assert_eq!(held_back, Nanos::ZERO);
        State::ALL.map(|state| times[state].as_micros() / 1_000)
    }

    fn parked_at(wall: u64) -> Window {
        let park = Park {
            wall: ms(wall),
            in_flight: ticks(0),
        };
        Window::new(Counters::default(), Some(park))
    }

    #[test]
    fn off_cpu_time_with_a_voluntary_switch_is_blocked() {
        let window = Window::default();
        let times = settle(&window, counters(100, 30, 20), ticks(0), 1);
        assert_eq!(times, [30, 20, 50, 0, 0]);
    }

    #[test]
    fn off_cpu_time_without_a_voluntary_switch_was_stolen() {
        let window = Window::default();
        let times = settle(&window, counters(100, 30, 20), ticks(0), 0);
        assert_eq!(times, [30, 70, 0, 0, 0]);
    }

    #[test]
    fn time_that_may_be_either_is_held_back() {
        let bounds = BlockedBounds {
            least: Nanos::from_millis(10),
            most: Nanos::from_millis(40),
        };
        let settled = Window::default().settle(&counters(100, 30, 20), ticks(0), |_| bounds);
        let expected = [30, 30, 10, 0, 0].map(|ms| ms * 1_000_000);
        assert_eq!(settled.times, Times::from(expected));
        assert_eq!(settled.held_back, Nanos::from_millis(30));
    }

    #[test]
    fn a_park_is_awaiting_while_requests_are_in_flight_and_idle_otherwise() {
        let mut window = parked_at(10);
        let in_flight = ticks(60);
        let times = settle(&window, counters(100, 10, 0), in_flight, 1);
        assert_eq!(times, [10, 0, 0, 60, 30]);
        window.parks.unpark(ms(100), in_flight);
        let times = settle(&window, counters(110, 20, 0), in_flight, 1);
        assert_eq!(times, [20, 0, 0, 60, 30]);
    }

    #[test]
    fn run_queue_delay_after_a_wake_up_is_not_part_of_the_park() {
        let mut window = parked_at(0);
        window.parks.unpark(ms(50), ticks(0));
        // 20 ms of the 50 ms parked were spent in the run queue after the wake-up.
        let times = settle(&window, counters(50, 0, 20), ticks(0), 1);
        assert_eq!(times, [0, 20, 0, 0, 30]);
    }

    #[test]
    fn blocking_after_a_park_is_counted() {
        let mut window = parked_at(0);
        window.parks.unpark(ms(50), ticks(0));
        let times = settle(&window, counters(90, 0, 0), ticks(0), 2);
        assert_eq!(times, [0, 0, 40, 0, 50]);
    }

    #[test]
    fn the_switch_of_a_park_that_slept_is_not_blocking() {
        let mut window = parked_at(0);
        window.parks.unpark(ms(50), ticks(0));
        // The 40 ms after it were stolen: the only voluntary switch was that of the park.
        let times = settle(&window, counters(90, 0, 0), ticks(0), 1);
        assert_eq!(times, [0, 40, 0, 0, 50]);
    }

    #[test]
    fn a_park_that_may_not_have_slept_accounts_for_no_switch() {
        let mut window = parked_at(0);
        let short = CERTAIN_SLEEP - Nanos::from_nanos(1);
        window.parks.unpark(Timestamp::default() + short, ticks(0));
        assert!(window.may_have_blocked(1));
        // One that is under way does.
        assert!(!parked_at(0).may_have_blocked(1));
    }

    proptest! {
        #[test]
        fn the_states_sum_to_the_wall_time(
            wall in 0..u64::MAX / 4, cpu in 0..u64::MAX / 4, delay in 0..u64::MAX / 4,
            parked in 0..u64::MAX / 8, with in 0..u64::MAX / 8, park in proptest::option::of(0..u64::MAX / 8),
            in_flight in any::<u64>(), least in any::<u64>(), most in any::<u64>(),
        ) {
            let ticks = |value| Ticks::decode(&mut [value].into_iter());
            let park = park.map(|wall| Park {
                wall: Timestamp::from_nanos(wall),
                in_flight: ticks(7),
            });
            let parks = Parks {
                parked: Nanos::from_nanos(parked),
                parked_in_flight: Nanos::from_nanos(with.min(parked)),
                park,
                sleeps: 0,
            };
            let window = Window {
                parks,
                ..Window::default()
            };
            let now = Counters {
                wall: Timestamp::from_nanos(wall),
                cpu: Nanos::from_nanos(cpu),
                delay: Nanos::from_nanos(delay),
                switches: 0,
                preemptions: 0,
            };
            let [least, most] = [least, most].map(Nanos::from_nanos);
            let settled = window.settle(&now, ticks(in_flight), |_| BlockedBounds { least, most });
            prop_assert_eq!(settled.times.total() + settled.held_back, Nanos::from_nanos(wall));
        }
    }
}
