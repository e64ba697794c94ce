//! Observations by the exporter that tell waiting for a CPU from blocking.

use super::kernel::{Activity, Counters, Sighting};
use super::units::Nanos;
use super::window::{BlockedBounds, OffCpu, Window};

/// Counters and status that were read within this time count as one observation.
const ONE_OBSERVATION: Nanos = Nanos::from_micros(100);

/// Observations of one thread by the exporter, within one window.
///
/// A thread that waits for a CPU looks blocked: it is off CPU, and the kernel adds the delay only when it gets a
/// CPU, or never if the hypervisor stole the time. So of the time off CPU outside of parks, R, a part U may be
/// delay that has not been told, and the blocked time B is known between two bounds only:
///
/// * `most`. In an interval between two observations, B grows by no more than the time off CPU. It does not grow
///   if the thread was active (the kernel's state `R`) at the first one, and is at the second one without having
///   made a voluntary context switch in between: then it has not slept. And B is never above R.
/// * `least`. B never falls, and it is at least R − U. U is 0 if the thread sleeps or is on a CPU: before it could,
///   the kernel told all delay. Otherwise the present wait for a CPU began after the thread last ran.
///
/// The time between the two bounds is held back until an observation finds the thread asleep or on a
/// CPU, or the thread itself reads its counters. U is at most the time since the observation before, so no more
/// than that is held back of a thread that gets a CPU now and then.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Base of the window, which distinguishes it from others.
    base: Counters,
    /// Counters at the last observation, with the voluntary switches then.
    last: Counters,
    /// R, and the time parked, at the last observation.
    last_off_cpu: OffCpu,
    /// Activity at the last observation.
    activity: Seen,
    bounds: BlockedBounds,
    /// The most that U was at the last observation.
    untold: Nanos,
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
    /// Blocked time since the base of the window.
    pub(super) blocked: BlockedBounds,
    /// Present activity; `None` if the thread has ended.
    pub(super) activity: Option<Activity>,
}

/// Values at a moment since the base of the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) window: &'a Window,
    /// The counters.
    pub(super) now: &'a Counters,
    pub(super) off_cpu: OffCpu,
}

impl Evidence {
    /// Observes a thread whose counters were just read. `sleeps` returns whether it is asleep, which takes 8 µs;
    /// `look` reads the kernel's status of the thread, which takes 20 µs. Each is called only where it matters.
    pub(super) fn observe(
        &mut self,
        moment: Moment<'_>,
        sleeps: impl FnOnce() -> bool,
        look: impl FnOnce() -> Option<Sighting>,
    ) -> Observation {
        if self.base != moment.window.base {
            self.begin(moment.window);
        }
        // A thread that was asleep and has not run is asleep, unless it has been woken and waits for a CPU. If no
        // more time off CPU has passed, it is parked, and how is of no matter.
        let has_run = moment.now.cpu != self.last.cpu;
        if self.activity == Seen::Asleep
            && !has_run
            && (moment.off_cpu.rest == self.last_off_cpu.rest || sleeps())
        {
            let switches = self.last.switches;
            self.add(moment, switches, Nanos::ZERO);
            return self.observation(Some(Activity::Asleep));
        }
        let Some(sighting) = look() else {
            return self.observation(None);
        };
        let untold = match sighting.activity {
            Activity::Asleep => Nanos::ZERO,
            Activity::Active if sighting.is_on_cpu => Nanos::ZERO,
            Activity::Active if has_run => self.off_cpu_since_last(moment),
            Activity::Active => self.untold + self.off_cpu_since_last(moment),
        };
        self.add(moment, sighting.switches, untold);
        if !moment.window.may_have_blocked(sighting.switches) {
            self.bounds = BlockedBounds::default();
        }
        self.activity = match sighting.activity {
            Activity::Asleep => Seen::Asleep,
            Activity::Active if moment.now.wall.elapsed() < ONE_OBSERVATION => Seen::Active,
            Activity::Active => Seen::Uncertain,
        };
        self.observation(Some(sighting.activity))
    }

    /// Returns the blocked time of a thread that reads its own counters: it runs, so all delay has been told.
    pub(super) fn blocked(&self, moment: Moment<'_>) -> Nanos {
        if self.base == moment.window.base {
            self.most(moment, moment.now.switches)
        } else {
            moment.off_cpu.rest
        }
    }

    /// Begins a window. The thread itself read the base, so it was on a CPU then.
    fn begin(&mut self, window: &Window) {
        *self = Self {
            base: window.base,
            last: window.base,
            ..Self::default()
        };
    }

    /// Adds the interval since the last observation.
    fn add(&mut self, moment: Moment<'_>, switches: u64, untold: Nanos) {
        let most = self.most(moment, switches);
        let known = moment.off_cpu.rest.saturating_sub(untold);
        self.bounds = BlockedBounds {
            least: self.bounds.least.max(known).min(most),
            most,
        };
        self.last = Counters {
            switches,
            ..*moment.now
        };
        self.last_off_cpu = moment.off_cpu;
        self.untold = untold;
    }

    /// The most that the thread can have been blocked up to a moment, at which it had made so many switches.
    fn most(&self, moment: Moment<'_>, switches: u64) -> Nanos {
        // A park is a sleep, too, though one that the window accounts for.
        let stayed =
            switches == self.last.switches && moment.off_cpu.parked == self.last_off_cpu.parked;
        let grown = if self.activity == Seen::Active && stayed {
            Nanos::ZERO
        } else {
            self.off_cpu_since_last(moment)
        };
        (self.bounds.most + grown).min(moment.off_cpu.rest)
    }

    /// Time off CPU outside of parks since the last observation, told or not.
    fn off_cpu_since_last(&self, moment: Moment<'_>) -> Nanos {
        let wall = moment.now.wall.duration_since(self.last.wall);
        let cpu = moment.now.cpu.saturating_sub(self.last.cpu);
        let parked = moment.off_cpu.parked;
        wall.saturating_sub(cpu)
            .saturating_sub(parked.saturating_sub(self.last_off_cpu.parked))
    }

    fn observation(&self, activity: Option<Activity>) -> Observation {
        Observation {
            blocked: self.bounds,
            activity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::units::Timestamp;
    use super::*;

    /// A thread whose window has begun now, with one voluntary switch since then unless `switches` says otherwise.
    struct Observed {
        window: Window,
        evidence: Evidence,
        now: Counters,
        rest: Nanos,
        switches: u64,
    }

    impl Observed {
        fn new() -> Self {
            // All later moments are in the future, so that each observation comes at once after its counters.
            let base = Counters {
                wall: Timestamp::now(),
                ..Counters::default()
            };
            Self {
                window: Window::new(base, None),
                evidence: Evidence::default(),
                now: base,
                rest: Nanos::ZERO,
                switches: 1,
            }
        }

        fn off_cpu(&self) -> OffCpu {
            OffCpu {
                rest: self.rest,
                parked: Nanos::ZERO,
            }
        }

        /// Time passes, in milliseconds: on a CPU, off CPU, and delay that is told.
        fn pass(&mut self, cpu: u64, off: u64, told: u64) {
            let [cpu, off, told] = [cpu, off, told].map(Nanos::from_millis);
            self.now.wall = self.now.wall + cpu + off;
            self.now.cpu += cpu;
            self.now.delay += told;
            self.rest = self.rest + off - told;
        }

        /// Bounds of the blocked time in milliseconds, after an observation.
        fn observe(&mut self, activity: Activity, is_on_cpu: bool) -> (u64, u64) {
            let moment = Moment {
                window: &self.window,
                now: &self.now,
                off_cpu: self.off_cpu(),
            };
            let sighting = Sighting {
                switches: self.switches,
                activity,
                is_on_cpu,
            };
            let sleeps = || activity == Activity::Asleep;
            let observation = self.evidence.observe(moment, sleeps, || Some(sighting));
            assert_eq!(observation.activity, Some(activity));
            let BlockedBounds { least, most } = observation.blocked;
            (least.as_micros() / 1_000, most.as_micros() / 1_000)
        }

        fn blocked_by_itself(&self) -> u64 {
            let now = Counters {
                switches: self.switches,
                ..self.now
            };
            let blocked = self.evidence.blocked(Moment {
                window: &self.window,
                now: &now,
                off_cpu: self.off_cpu(),
            });
            blocked.as_micros() / 1_000
        }
    }

    use Activity::{Active, Asleep};

    #[test]
    fn a_thread_that_sleeps_is_blocked_at_every_observation() {
        let mut thread = Observed::new();
        thread.pass(1, 100, 0);
        assert_eq!(thread.observe(Asleep, false), (100, 100));
        thread.pass(0, 100, 0);
        assert_eq!(thread.observe(Asleep, false), (200, 200));
        assert_eq!(thread.blocked_by_itself(), 200);
    }

    #[test]
    fn time_after_a_wake_up_is_held_back_until_the_delay_is_told() {
        let mut thread = Observed::new();
        thread.pass(1, 100, 0);
        assert_eq!(thread.observe(Asleep, false), (100, 100));
        // It is woken after 20 ms, and waits for a CPU for 80 ms so far.
        thread.pass(0, 100, 0);
        assert_eq!(thread.observe(Active, false), (100, 200));
        // The wait goes on: this is not blocking, whatever the time before was.
        thread.pass(0, 50, 0);
        assert_eq!(thread.observe(Active, false), (100, 200));
        // It is on a CPU: the delay of 130 ms has been told.
        thread.pass(1, 0, 130);
        assert_eq!(thread.observe(Active, true), (120, 120));
        assert_eq!(thread.blocked_by_itself(), 120);
    }

    #[test]
    fn a_thread_that_computes_beside_others_is_never_blocked() {
        let mut thread = Observed::new();
        // The switch was before the first observation, and for nothing.
        thread.pass(1, 30, 0);
        assert_eq!(thread.observe(Active, false), (0, 30));
        for _ in 0..20 {
            // It gets a CPU for a while, and waits again.
            thread.pass(10, 30, 30);
            let (least, most) = thread.observe(Active, false);
            assert!(least == 0 && most <= 40, "{least} {most}");
        }
        thread.pass(10, 0, 30);
        assert_eq!(thread.observe(Active, true), (0, 0));
    }

    #[test]
    fn no_more_than_the_last_interval_is_held_back() {
        let mut thread = Observed::new();
        thread.pass(1, 500, 0);
        // It has slept 500 ms, or waited for a CPU.
        assert_eq!(thread.observe(Active, false), (0, 500));
        thread.pass(10, 20, 0);
        thread.switches += 1;
        // It has run, so the wait had ended, and what was not told was no wait.
        assert_eq!(thread.observe(Active, false), (500, 520));
    }

    #[test]
    fn without_a_voluntary_switch_a_thread_has_not_blocked() {
        let mut thread = Observed::new();
        thread.switches = 0;
        thread.pass(1, 100, 0);
        assert_eq!(thread.observe(Active, false), (0, 0));
        // The first one comes: the time before it does not count.
        thread.switches = 1;
        thread.pass(1, 50, 0);
        assert_eq!(thread.observe(Asleep, false), (50, 50));
    }

    #[test]
    fn what_is_known_of_one_window_says_nothing_about_another() {
        let mut thread = Observed::new();
        thread.pass(1, 100, 0);
        thread.observe(Active, false);
        thread.window = Window::new(thread.now, None);
        thread.rest = Nanos::from_millis(30);
        assert_eq!(thread.blocked_by_itself(), 30);
    }
}
