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
    /// Its part of the budget. The parts sum to less than 1: reading metrics costs something, too.
    const fn part(self) -> f64 {
        match self {
            Self::Tick => 0.45,
            Self::Look => 0.3,
            Self::Scan => 0.15,
        }
    }
}

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
        let affordable = self.mean_costs[task as usize] / (self.share * task.part());
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

    fn settled_at(task: Task, cost: Nanos) -> Budget {
        let mut budget = Budget::new(0.02, Nanos::from_millis(20));
        (0..200).for_each(|_| budget.spent(task, cost));
        budget
    }

    #[test]
    fn periods_grow_with_what_a_task_costs() {
        for (task, cost, period) in [
            (Task::Tick, Nanos::from_nanos(50_000), 20),
            (Task::Tick, Nanos::from_nanos(900_000), 100),
            (Task::Look, Nanos::from_nanos(100_000), 20),
            (Task::Look, Nanos::from_nanos(600_000), 100),
            (Task::Look, Nanos::from_nanos(60_000_000), 2_000),
            (Task::Scan, Nanos::from_nanos(30_000), 100),
            (Task::Scan, Nanos::from_nanos(600_000), 200),
        ] {
            let actual = settled_at(task, cost).period(task);
            let error = actual.as_nanos().abs_diff(period * 1_000_000);
            assert!(error < 1_000_000, "{task:?} {cost:?}: {actual:?}");
        }
    }

    #[test]
    fn one_expensive_look_is_enough_to_slow_down() {
        let mut budget = settled_at(Task::Look, Nanos::from_nanos(100_000));
        budget.spent(Task::Look, Nanos::from_millis(12));
        assert!(budget.period(Task::Look) >= Nanos::from_millis(1_000));
    }

    #[test]
    fn the_whole_costs_less_than_the_budget() {
        for (tick, look, scan) in [
            (100_000, 300_000, 200_000),
            (1_000_000, 5_000_000, 2_000_000),
        ] {
            let costs = [(Task::Tick, tick), (Task::Look, look), (Task::Scan, scan)];
            let share: f64 = costs
                .iter()
                .map(|(task, cost)| {
                    *cost as f64
                        / settled_at(*task, Nanos::from_nanos(*cost))
                            .period(*task)
                            .as_nanos() as f64
                })
                .sum();
            assert!(share <= 0.0201, "{share}");
        }
    }
}
