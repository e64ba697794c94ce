//! Limits for the errors of the accounting, and the errors themselves.

use std::fmt;
use std::time::Duration;

use thread_states::{State, Times};

use super::hosts::{Host, Ran};
use super::own::Own;
use super::reference::Scheduled;
use super::workloads::Workload;

/// One workload on one kind of thread.
pub(crate) struct Row {
    pub(crate) workload: &'static Workload,
    pub(crate) host: Host,
    pub(crate) accounted: Times,
    pub(crate) sum_error: f64,
    pub(crate) own: Own,
    /// The scheduler's trace, if available and complete.
    pub(crate) scheduled: Option<Scheduled>,
}

/// A time that is known to lie between two bounds, in seconds.
#[derive(Debug, Clone, Copy)]
struct Between {
    least: f64,
    most: f64,
}

impl Between {
    fn exactly(seconds: f64) -> Self {
        Self {
            least: seconds,
            most: seconds,
        }
    }

    /// Seconds by which a time is above the upper bound, or, if negative, below the lower one.
    fn miss(&self, seconds: f64) -> f64 {
        (seconds - self.most).max(0.0) - (self.least - seconds).max(0.0)
    }
}

/// A time by the accounting, the truth as far as it is known, and the limit of the error.
pub(crate) struct Check {
    pub(crate) what: &'static str,
    accounted: f64,
    truth: Between,
    /// Limit of the error, as a part of the truth.
    part: f64,
    /// Seconds of error that are allowed in any case.
    least_margin: f64,
}

/// Seconds of error that are allowed for any time.
const MARGIN: f64 = 0.004;

impl Check {
    fn off(&self) -> f64 {
        self.truth.miss(self.accounted)
    }

    pub(crate) fn holds(&self) -> bool {
        self.off().abs() <= (self.part * self.truth.most).max(self.least_margin)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.holds() { "" } else { " **missed**" };
        let off = self.off() * 1e3;
        write!(formatter, "{:.4} ({off:+.1}", self.accounted)?;
        // Where the truth is known to worse than 4 ms, that uncertainty is printed as well.
        let known = (self.truth.most - self.truth.least) * 1e3;
        if known > 4.0 {
            write!(formatter, " of {known:.0}")?;
        }
        write!(formatter, "){mark}")
    }
}

impl Row {
    /// Runs a workload.
    pub(crate) fn measure(workload: &'static Workload, host: Host, name: &str) -> Self {
        let Ran {
            accounted,
            sum_error,
            own,
        } = host.run(workload, name);
        Self {
            workload,
            host,
            accounted,
            sum_error,
            own,
            scheduled: None,
        }
    }

    /// All checks but that of the sum.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            self.check(State::Running, 0.01),
            self.check(State::Runnable, 0.01),
            self.check(State::Blocked, 0.02),
            self.waited(),
        ];
        if let Some(scheduled) = &self.scheduled {
            let wanted = scheduled.on + scheduled.queued;
            let blurred = scheduled.blurred();
            checks.push(Check {
                what: "on CPU and run queue",
                accounted: self.seconds(State::Running) + self.seconds(State::Runnable),
                truth: Between {
                    least: wanted.saturating_sub(blurred).as_secs_f64() - self.stolen_unseen(),
                    most: (wanted + blurred).as_secs_f64(),
                },
                part: 0.01,
                least_margin: MARGIN,
            });
        }
        checks
    }

    pub(crate) fn sum_holds(&self) -> bool {
        self.sum_error <= 0.001
    }

    fn seconds(&self, state: State) -> f64 {
        self.accounted.seconds(state)
    }

    fn check(&self, state: State, part: f64) -> Check {
        let truth = match state {
            State::Running => Between::exactly(self.own.cpu.as_secs_f64()),
            State::Runnable => self.runnable(),
            _ => self.blocked(),
        };
        // A thread that only spins may be blocked for at most 0.5 %, even while the hypervisor steals time.
        let spins = state == State::Blocked && self.workload.spins;
        let least_margin = if spins {
            0.005 * self.own.wall.as_secs_f64()
        } else {
            MARGIN
        };
        Check {
            what: state.as_str(),
            accounted: self.seconds(state),
            truth,
            part,
            least_margin,
        }
    }

    /// Time for which the thread waited for a CPU: the scheduler's run-queue delay and the stolen time, which is the
    /// scheduler's running time beyond the thread's CPU clock. Without a trace, the rest of the wall time.
    fn runnable(&self) -> Between {
        if let Some(scheduled) = &self.scheduled {
            let stolen = scheduled.on.saturating_sub(self.own.cpu);
            let truth = (scheduled.queued + stolen).as_secs_f64();
            return Between {
                least: truth - scheduled.moved().as_secs_f64() - self.stolen_unseen(),
                most: truth + scheduled.blurred().as_secs_f64(),
            };
        }
        let Own {
            wall,
            cpu,
            blocked,
            awaited,
            ..
        } = self.own;
        let beyond = |waits: Duration| wall.saturating_sub(cpu + waits).as_secs_f64();
        Between {
            least: beyond(blocked.lasted + awaited.lasted) - self.stolen_unseen(),
            most: beyond(blocked.requested + awaited.requested),
        }
    }

    fn blocked(&self) -> Between {
        let Own {
            blocked, awaited, ..
        } = self.own;
        // Without an event loop, awaiting blocks the thread.
        let awaits = self.host == Host::Thread;
        let [requested, lasted] = [
            (blocked.requested, awaited.requested),
            (blocked.lasted, awaited.lasted),
        ]
        .map(|(blocks, awaited)| blocks + if awaits { awaited } else { Duration::ZERO });
        let mut truth = Between {
            least: requested.as_secs_f64(),
            most: lasted.as_secs_f64() + self.stolen_unseen(),
        };
        if let Some(scheduled @ Scheduled { off, .. }) = self.scheduled {
            let (off, blurred) = (off.as_secs_f64(), scheduled.blurred().as_secs_f64());
            let [least, most] = if awaits {
                [off, off]
            } else {
                [awaited.lasted, awaited.requested].map(|awaited| off - awaited.as_secs_f64())
            };
            truth.least = truth.least.max(least - blurred);
            truth.most = truth.most.min(most + blurred + self.stolen_unseen());
        }
        truth
    }

    /// The time awaiting or, without a request in flight, idle.
    fn waited(&self) -> Check {
        let Own {
            blocked, awaited, ..
        } = self.own;
        let mut truth = Between {
            least: awaited.requested.as_secs_f64(),
            most: awaited.lasted.as_secs_f64(),
        };
        if let Some(scheduled) = self.scheduled {
            let (off, blurred) = (scheduled.off, scheduled.blurred());
            let beyond = |blocked| off.saturating_sub(blocked).as_secs_f64();
            let blurred = blurred.as_secs_f64();
            truth.least = truth.least.max(beyond(blocked.lasted) - blurred);
            truth.most = truth.most.min(beyond(blocked.requested) + blurred);
        }
        // Time may be stolen while the thread is parked, when no thread wants the CPU.
        truth.most += self.stolen_unseen();
        if self.host == Host::Thread {
            truth = Between::exactly(0.0);
        }
        let state = if self.workload.requests {
            State::Awaiting
        } else {
            State::Idle
        };
        Check {
            what: state.as_str(),
            accounted: self.seconds(state),
            truth,
            part: 0.02,
            least_margin: MARGIN,
        }
    }

    /// Seconds that the hypervisor may have stolen where stolen time cannot be distinguished from blocking, or while the
    /// thread was about to park: see `docs/ARCHITECTURE.md`.
    fn stolen_unseen(&self) -> f64 {
        let mixed = self.workload.mixed;
        let parks = self.host != Host::Thread && !self.own.awaited.requested.is_zero();
        match &self.scheduled {
            Some(scheduled) if mixed || parks => {
                let on = scheduled.on + scheduled.moved();
                on.saturating_sub(self.own.cpu).as_secs_f64()
            }
            None if mixed => self.own.wall.as_secs_f64() / 8.0,
            _ => 0.0,
        }
    }
}
