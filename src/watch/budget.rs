//! Budget: how often the watcher may read what, so that it costs no more CPU time than it is allowed.

use rustix::time::{ClockId, clock_gettime};

use thread_states::Nanos;

/// Uses of the watcher's CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Reading counters and sites of every thread.
    Tick,
    /// Looking at the connections of the namespace.
    Look,
    /// Looking for processes and threads.
    Scan,
}

impl Task {
    /// Its part of the budget.
    const fn part(self) -> f64 {
        match self {
            Self::Tick => 0.45,
            Self::Look => 0.3,
            Self::Scan => 0.15,
        }
    }
}

/// The parts of all tasks. They sum to less than 1: reading metrics costs something, too.
const PARTS: f64 = Task::Tick.part() + Task::Look.part() + Task::Scan.part();

/// Running mean of what each task costs, and the periods that follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Share of one core that may be used, from 0 to 1.
    share: f64,
    period: Nanos,
    mean_costs: [f64; 3],
}

/// The shortest time between two looks, and the longest without a thread that has run.
const SHORTEST_LOOK: Nanos = Nanos::from_millis(20);
const QUIET_LOOK: Nanos = Nanos::from_millis(500);
const SHORTEST_SCAN: Nanos = Nanos::from_millis(100);
/// No task waits for longer, whatever it costs: counters must go on.
const LONGEST: Nanos = Nanos::from_millis(2_000);

impl Budget {
    /// A budget of a share of one core, at most one tick per `period`.
    pub(super) fn new(share: f64, period: Nanos) -> Self {
        Self {
            share,
            period,
            mean_costs: [0.0; 3],
        }
    }

    /// Notes what a task has cost.
    pub(super) fn spent(&mut self, task: Task, cost: Nanos) {
        let (mean, cost) = (&mut self.mean_costs[task as usize], cost.as_nanos() as f64);
        // The last few count: one expensive look must not be followed by another, and a first scan, which finds the
        // processes, must not make the next ones rare for long.
        *mean = 0.5 * (*mean + cost);
    }

    /// The time from one run of a task to the next.
    pub(super) fn period(&self, task: Task) -> Nanos {
        let part = match task {
            Task::Tick | Task::Scan => task.part(),
            // What the others leave: looks are never too many where connections close.
            Task::Look => PARTS - self.used(Task::Tick) - self.used(Task::Scan),
        };
        let affordable = self.mean_costs[task as usize] / (self.share * part);
        let least = match task {
            Task::Tick => self.period,
            Task::Look => SHORTEST_LOOK,
            Task::Scan => SHORTEST_SCAN,
        };
        // Ticks are what the states are made of; two a second remain at least.
        let most = if task == Task::Tick {
            LONGEST / 4
        } else {
            LONGEST
        };
        Nanos::from_nanos(affordable as u64).clamp(least, most.max(least))
    }

    /// The part of the budget that a task uses, at most its own.
    fn used(&self, task: Task) -> f64 {
        let period = self.period(task).as_nanos() as f64;
        (self.mean_costs[task as usize] / period / self.share).min(task.part())
    }

    /// The time from one look to the next while no thread runs.
    pub(super) fn quiet_look(&self) -> Nanos {
        self.period(Task::Look).max(QUIET_LOOK)
    }
}

/// CPU time of the calling thread.
pub(super) fn cpu_time() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Nanos::from_secs(time.tv_sec.unsigned_abs()) + Nanos::from_nanos(time.tv_nsec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget of 2 %, when each task has cost the same many times, in microseconds.
    fn settled_at(tick: u64, look: u64, scan: u64) -> Budget {
        let mut budget = Budget::new(0.02, Nanos::from_millis(20));
        for (task, cost) in [(Task::Tick, tick), (Task::Look, look), (Task::Scan, scan)] {
            (0..200).for_each(|_| budget.spent(task, Nanos::from_nanos(cost * 1_000)));
        }
        budget
    }

    #[test]
    fn periods_grow_with_what_a_task_costs() {
        for (task, [tick, look, scan], period) in [
            (Task::Tick, [50, 0, 0], 20),
            (Task::Tick, [900, 0, 0], 100),
            (Task::Look, [900, 100, 600], 20),
            (Task::Look, [900, 600, 600], 100),
            (Task::Look, [900, 60_000, 600], 2_000),
            (Task::Scan, [0, 0, 30], 100),
            (Task::Scan, [0, 0, 600], 200),
            // The others need less than their parts.
            (Task::Look, [0, 600, 0], 33),
            (Task::Look, [90, 600, 0], 44),
            (Task::Look, [90, 600, 150], 50),
        ] {
            let actual = settled_at(tick, look, scan).period(task);
            let error = actual.as_nanos().abs_diff(period * 1_000_000);
            assert!(
                error < 1_000_000,
                "{task:?} {tick} {look} {scan}: {actual:?}"
            );
        }
    }

    #[test]
    fn one_expensive_look_is_enough_to_slow_down() {
        let mut budget = settled_at(50, 100, 100);
        budget.spent(Task::Look, Nanos::from_millis(30));
        assert!(budget.period(Task::Look) >= Nanos::from_millis(1_000));
    }

    #[test]
    fn the_whole_costs_less_than_the_budget() {
        for (tick, look, scan) in [(20, 300, 20), (100, 300, 200), (1_000, 5_000, 2_000)] {
            let budget = settled_at(tick, look, scan);
            let costs = [(Task::Tick, tick), (Task::Look, look), (Task::Scan, scan)];
            let share: f64 = costs
                .iter()
                .map(|(task, cost)| (cost * 1_000) as f64 / budget.period(*task).as_nanos() as f64)
                .sum();
            assert!(share <= 0.0181, "{share}");
        }
    }
}
