//! Observations by the exporter that tell waiting for a CPU from blocking.

use super::kernel::{Activity, Counters, Status};
use super::units::Nanos;
use super::window::Window;

/// Counters and status that were read within this time count as one observation.
const ONE_OBSERVATION: Nanos = Nanos::from_micros(100);

/// Observations of one thread by the exporter, within one window.
///
/// A thread that starves in the run queue looks blocked: it is off CPU, and the kernel adds the
/// delay only when it gets a CPU again, or never if the hypervisor stole the time. But a thread that
/// was active (the kernel's state `R`) at one observation, and is at the next one without having made a
/// voluntary context switch in between, has not slept in between. All its time off CPU was then
/// spent waiting for a CPU. Such an interval is *quiet*; this adds up the quiet time of the window.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Base of the window, which distinguishes it from others.
    base: Counters,
    /// Counters at the last observation, with the voluntary switches then.
    last: Counters,
    /// Time parked at the last observation.
    parked: Nanos,
    /// Activity at the last observation.
    activity: Seen,
    /// Off-CPU time known not to be blocking, up to the end of the last interval that was not quiet.
    before: Nanos,
    /// The same since then, in nanoseconds. It falls when delay arrives late, perhaps below 0.
    quiet: i64,
}

/// Activity of a thread at an observation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Seen {
    /// Active, as of the counters.
    #[default]
    Active,
    /// Asleep.
    Asleep,
    /// Active, but so long after the counters were read that it may have slept in between.
    Uncertain,
}

/// Result of an observation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// Time off CPU since the base of the window in which the thread cannot have blocked.
    pub(super) not_blocked: Nanos,
    /// Present activity; `None` if the thread has ended.
    pub(super) activity: Option<Activity>,
}

impl Evidence {
    /// Observes a thread whose counters were just read (`now`). `status` reads the kernel's state of
    /// the thread, which takes 20 µs and is called only where it matters.
    pub(super) fn observe(
        &mut self,
        window: &Window,
        now: &Counters,
        status: impl FnOnce() -> Option<Status>,
    ) -> Observation {
        if self.base != window.base {
            *self = Self {
                base: window.base,
                last: window.base,
                // The thread itself read the base, so it was running then.
                activity: Seen::Active,
                ..Self::default()
            };
        }
        // A thread that has not run since it was seen asleep still sleeps, or has only just woken up.
        // So a thousand sleeping threads cost one status each, not one at every scrape.
        if self.activity == Seen::Asleep && now.cpu == self.last.cpu {
            return Observation {
                not_blocked: self.not_blocked(window, now),
                activity: Some(Activity::Asleep),
            };
        }
        let Some(status) = status() else {
            return Observation {
                not_blocked: self.not_blocked(window, now),
                activity: None,
            };
        };
        self.add(window, now, status);
        Observation {
            not_blocked: if window.may_have_blocked(status.switches) {
                self.not_blocked(window, now)
            } else {
                Nanos::MAX
            },
            activity: Some(status.activity),
        }
    }

    /// Adds the interval since the last observation.
    fn add(&mut self, window: &Window, now: &Counters, status: Status) {
        // A park is a sleep, too, though one that the window accounts for.
        let stayed = status.switches == self.last.switches && window.parked == self.parked;
        if self.activity == Seen::Active && stayed {
            self.quiet += off_cpu(now) - off_cpu(&self.last);
        } else {
            self.before = self.not_blocked(window, now);
            self.quiet = 0;
        }
        self.last = Counters {
            switches: status.switches,
            ..*now
        };
        self.parked = window.parked;
        self.activity = match status.activity {
            Activity::Asleep => Seen::Asleep,
            Activity::Active if now.wall.elapsed() < ONE_OBSERVATION => Seen::Active,
            Activity::Active => Seen::Uncertain,
        };
    }

    /// Time off CPU between the base of the window and `now` that is known not to be blocking.
    pub(super) fn not_blocked(&self, window: &Window, now: &Counters) -> Nanos {
        if self.base != window.base {
            return Nanos::ZERO;
        }
        // Delay that has arrived since then may be the time that was quiet: it must not count twice.
        let arrived = now.delay.saturating_sub(self.last.delay);
        let quiet = Nanos::from_nanos(u64::try_from(self.quiet).unwrap_or(0));
        self.before + quiet.saturating_sub(arrived)
    }
}

/// Time off CPU in nanoseconds, up to a constant; it falls when delay arrives late.
fn off_cpu(counters: &Counters) -> i64 {
    let off_cpu = counters
        .wall
        .as_nanos()
        .wrapping_sub(counters.cpu.as_nanos())
        .wrapping_sub(counters.delay.as_nanos());
    off_cpu as i64
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::super::units::Timestamp;
    use super::*;

    /// Counters of a thread that has made one voluntary switch in this window, and has not run since.
    fn counters(delay: Nanos) -> Counters {
        Counters {
            wall: Timestamp::now(),
            delay,
            ..Counters::default()
        }
    }

    /// Observes it twice, 5 ms apart. Returns the time between, and the result of the second.
    fn observe_twice(
        window: &Window,
        evidence: &mut Evidence,
        activity: Activity,
    ) -> (Nanos, Nanos) {
        let status = move || {
            Some(Status {
                switches: 1,
                activity,
            })
        };
        // A test that is preempted during the first observation gets an uncertain one, as it should.
        let first = loop {
            let first = counters(Nanos::ZERO);
            *evidence = Evidence::default();
            evidence.observe(window, &first, status);
            if first.wall.elapsed() < ONE_OBSERVATION {
                break first;
            }
        };
        thread::sleep(Duration::from_millis(5));
        let second = counters(Nanos::ZERO);
        let observation = evidence.observe(window, &second, status);
        assert_eq!(observation.activity, Some(activity));
        let between = second.wall.duration_since(first.wall);
        (between, observation.not_blocked)
    }

    #[test]
    fn a_thread_that_is_active_at_two_observations_has_not_blocked_between_them() {
        let window = Window::new(counters(Nanos::ZERO), None);
        let mut evidence = Evidence::default();
        let (between, not_blocked) = observe_twice(&window, &mut evidence, Activity::Active);
        assert_eq!(not_blocked, between);
        // Delay that arrives later is that same time.
        let half = between / 2;
        assert_eq!(
            evidence.not_blocked(&window, &counters(half)),
            between - half
        );
        let all = counters(between + between);
        assert_eq!(evidence.not_blocked(&window, &all), Nanos::ZERO);
        // It says nothing about another window.
        let next = Window::new(counters(Nanos::ZERO), None);
        let now = counters(Nanos::ZERO);
        assert_eq!(evidence.not_blocked(&next, &now), Nanos::ZERO);
    }

    #[test]
    fn a_thread_that_is_asleep_at_two_observations_may_have_blocked() {
        let window = Window::new(counters(Nanos::ZERO), None);
        let mut evidence = Evidence::default();
        let (_, not_blocked) = observe_twice(&window, &mut evidence, Activity::Asleep);
        assert_eq!(not_blocked, Nanos::ZERO);
        // That it has run since does not change it.
        let ran = Counters {
            cpu: Nanos::from_nanos(1),
            ..counters(Nanos::ZERO)
        };
        let status = Status {
            switches: 1,
            activity: Activity::Active,
        };
        let observation = evidence.observe(&window, &ran, || Some(status));
        assert_eq!(observation.not_blocked, Nanos::ZERO);
    }
}
