//! What the exporter has seen that tells waiting for a CPU from blocking.

use super::kernel::{self, Reading, Status};
use super::window::Window;

/// Nanoseconds within which two readings of the kernel count as one look.
const ONE_LOOK: u64 = 100_000;

/// What the exporter saw of a thread within one window.
///
/// A thread that wanted to run when it was last looked at, and has not left the CPU of its own
/// will since, has not blocked in between: whatever it was off CPU for then was runnable. The
/// kernel's delay will say so only when it runs again, or never if the hypervisor stole the time.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The base of the window, which tells it from others.
    base: Reading,
    /// The counters at the last look, with the voluntary switches then.
    last: Reading,
    /// Time parked at the last look.
    parked: u64,
    /// Whether the thread ran or wanted to at the last look, for certain.
    ran: bool,
    /// Whether it did neither.
    slept: bool,
    /// Nanoseconds off CPU in which it cannot have blocked, up to the last interval that was not
    /// quiet; between two looks, an interval is quiet if the thread cannot have blocked in it.
    before: u64,
    /// The same since then. It may fall when delay arrives late.
    quiet: i64,
}

impl Evidence {
    /// Looks at a thread, whose counters were just read, and returns for how many nanoseconds
    /// off CPU since the base of the window it cannot have blocked. `status` is what the kernel says
    /// of it now, which takes long to tell and is asked only where it matters.
    pub(super) fn look(
        &mut self,
        window: &Window,
        now: &Reading,
        status: impl FnOnce() -> Option<Status>,
    ) -> u64 {
        if self.base != window.base {
            *self = Self {
                base: window.base,
                last: window.base,
                ran: true,
                ..Self::default()
            };
        }
        // A thread that has not run since it was seen asleep sleeps still, or has only just woken.
        if self.slept && now.cpu == self.last.cpu {
            return self.of(window, now);
        }
        let Some(status) = status() else {
            return self.of(window, now);
        };
        let stayed = status.switches == self.last.switches && window.parked == self.parked;
        if self.ran && stayed {
            self.quiet += off_cpu(now) - off_cpu(&self.last);
        } else {
            self.before = self.of(window, now);
            self.quiet = 0;
        }
        self.last = Reading {
            switches: status.switches,
            ..*now
        };
        self.parked = window.parked;
        // Counters and status are one look only if nothing came between them.
        self.slept = !status.runs;
        self.ran = status.runs && kernel::now().saturating_sub(now.wall) < ONE_LOOK;
        if window.may_have_blocked(status.switches) {
            self.of(window, now)
        } else {
            u64::MAX
        }
    }

    /// For how many nanoseconds off CPU between the base of the window and `now` the thread was
    /// seen not to block.
    pub(super) fn of(&self, window: &Window, now: &Reading) -> u64 {
        if self.base != window.base {
            return 0;
        }
        // What has arrived since as delay may be what looked quiet; it must not count twice.
        let arrived = now.delay.saturating_sub(self.last.delay);
        let quiet = u64::try_from(self.quiet).unwrap_or(0);
        self.before + quiet.saturating_sub(arrived)
    }
}

/// Time off CPU, up to a constant; it falls back when delay arrives late.
fn off_cpu(reading: &Reading) -> i64 {
    reading
        .wall
        .wrapping_sub(reading.cpu)
        .wrapping_sub(reading.delay) as i64
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A thread that has left the CPU of its own will once in this window, and has not run since.
    fn reading(delay: u64) -> Reading {
        Reading {
            wall: kernel::now(),
            delay,
            ..Reading::default()
        }
    }

    /// Looks at it twice, 5 ms apart. Returns the time between, and what is known after the second.
    fn looks(window: &Window, evidence: &mut Evidence, runs: bool) -> (u64, u64) {
        let status = move || Some(Status { switches: 1, runs });
        let first = reading(0);
        evidence.look(window, &first, status);
        thread::sleep(Duration::from_millis(5));
        let second = reading(0);
        let known = evidence.look(window, &second, status);
        (second.wall - first.wall, known)
    }

    #[test]
    fn a_thread_that_wants_to_run_at_two_looks_has_not_blocked_between_them() {
        let (window, mut evidence) = (Window::new(reading(0), None), Evidence::default());
        let (between, known) = looks(&window, &mut evidence, true);
        assert_eq!(known, between);
        // What comes as delay later is that same time.
        assert_eq!(
            evidence.of(&window, &reading(between / 2)),
            between - between / 2
        );
        assert_eq!(evidence.of(&window, &reading(2 * between)), 0);
        // Another window has nothing to do with it.
        let next = Window::new(reading(0), None);
        assert_eq!(evidence.of(&next, &reading(0)), 0);
    }

    #[test]
    fn a_thread_that_sleeps_at_two_looks_may_have_blocked() {
        let (window, mut evidence) = (Window::new(reading(0), None), Evidence::default());
        assert_eq!(looks(&window, &mut evidence, false).1, 0);
        // Nor does it help that it has run since.
        let ran = Reading {
            cpu: 1,
            ..reading(0)
        };
        let status = Status {
            switches: 1,
            runs: true,
        };
        assert_eq!(evidence.look(&window, &ran, || Some(status)), 0);
    }
}
