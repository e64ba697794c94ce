//! Throughput and latency of a number of threads, below and above their capacity.

use std::time::Duration;

use futures_util::future;

use super::definition::{Experiment, GuessQuestion};
use super::planned_capacity;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::load::{self, LoadResult};
use crate::experiment::plural::plural;
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::schedule::Schedule;
use crate::experiment::scrape::Scrape;
use crate::experiment::simulated_queue::SimulatedQueue;
use crate::experiment::waits::short_wait;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "capacity",
    question: "How many threads is one event loop worth?",
    model: "Little's law: λ requests per second that each hold a thread for W seconds need λ·W threads. N synchronous \
            threads serve at most N/W requests per second; above that the queue grows without limit. The predicted \
            latencies come from simulating a first-come, first-served queue with N threads and the same send times. \
            An event loop does not hold its thread during W.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "longest latency, above capacity",
            conditions: "",
            text: |wait| {
                format!(
                    "For {:.1} s, requests arrive at 1.5 times the rate that the synchronous threads can serve. What is the longest latency, in seconds?",
                    short_wait(wait).as_secs_f64()
                )
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "longest latency",
            conditions: "",
            text: |_| "And on one event loop, where each request waits 0.05 s?".into(),
        },
    ],
    duration: |config| match &config.plan {
        Some(plan) => plan.duration(config.wait),
        // The overload is half a length longer to drain.
        None => short_wait(config.wait) * 5,
    },
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Metric of a process.
const RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
/// Lower of the two capacities that are tested, in requests per second. The wait is chosen to match it.
/// Low, so that the CPU time of a request does not matter.
const CAPACITY: f64 = 10.0;
/// Maximum wait in seconds. With many threads the capacity is raised instead.
const LONGEST_WAIT: f64 = 0.5;
/// Offered loads as shares of the capacity.
const LOADS: [f64; 2] = [0.5, 1.5];

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    if let Some(plan) = &lab.plan {
        return planned_capacity::perform(plan, lab, run).await;
    }
    let threads = lab.scrape().await?.threads(Flavor::Sync);
    let lower = CAPACITY.max(threads as f64 / LONGEST_WAIT);
    for capacity in [lower, 2.0 * lower] {
        let wait = Duration::from_secs_f64(threads as f64 / capacity);
        // Long compared with a wait, so that the edges matter little.
        let length = short_wait(lab.wait);
        let length = length.max(wait * 10);
        for share in LOADS {
            lab.show_step(&format!(
                "load: {:.0} % of the capacity of {capacity} requests per second",
                share * 100.0
            ));
            let trial = Trial {
                rate: capacity * share,
                wait,
                length,
                schedule: Schedule::poisson(capacity * share, length),
            };
            trial.perform(lab, run, share > 1.0).await?;
        }
    }
    Ok(())
}

/// One load, sent to both servers at the same time.
struct Trial {
    rate: f64,
    wait: Duration,
    length: Duration,
    schedule: Schedule,
}

impl Trial {
    async fn perform(&self, lab: &LabClient, run: &mut Run, overloads: bool) -> Result<(), Error> {
        let path = format!("/?seconds={}", self.wait.as_secs_f64());
        let before = lab.scrape().await?;
        let first_row = run.findings.len() + 1;
        let load = |server| {
            load::run(
                lab,
                (server, Via::Front),
                &path,
                &self.schedule,
                self.length,
            )
        };
        let (sync, r#async) = future::join(load(Flavor::Sync), load(Flavor::Async)).await;
        let after = lab.wait_until_quiet().await?;
        self.judge(
            run,
            (Flavor::Sync, &self.setting(lab, &after, Flavor::Sync)),
            &sync,
            after.threads(Flavor::Sync),
            overloads,
        );
        // An event loop behaves as if there were a thread per request.
        self.judge(
            run,
            (Flavor::Async, &self.setting(lab, &after, Flavor::Async)),
            &r#async,
            self.schedule.times().len(),
            false,
        );
        for server in Flavor::ALL {
            self.judge_states(
                run,
                &self.setting(lab, &after, server),
                server,
                &before,
                &after,
            );
        }
        self.note_cost(run, first_row, &before, &after);
        Ok(())
    }

    fn setting(&self, lab: &LabClient, scrape: &Scrape, server: Flavor) -> Setting {
        let requests = self.schedule.times().len();
        let load = format!(
            "{:.0}/s: {} in {:.1} s",
            self.rate,
            plural(requests, "request"),
            self.length.as_secs_f64()
        );
        lab.setting(server, Via::Front, scrape.threads(server), self.wait, load)
    }

    /// Compares a load with the simulated queue of `threads` threads.
    fn judge(
        &self,
        run: &mut Run,
        (server, setting): (Flavor, &Setting),
        load: &LoadResult,
        threads: usize,
        overloads: bool,
    ) {
        let curve = load.curve(
            server,
            format!(
                "{}, {:.0}/s, wait {:.2} s",
                setting.server, self.rate, setting.wait_seconds
            ),
        );
        run.curves.push(curve);
        let queue = SimulatedQueue::new(&self.schedule, threads, self.wait);
        load::judge_responses(run, setting, &queue, load, self.length);
        let longest = queue.latency(1.0);
        run.judge(
            setting,
            Prediction::between(
                if overloads { "longest latency, above capacity" } else { "longest latency" },
                Unit::Seconds,
                longest * 0.8,
                longest * 1.4 + 0.25,
                "longest latency in the simulated queue; tolerance -20 %, +40 % and 0.25 s, because each request also \
                 costs CPU time, which adds up in a queue",
            ),
            load.latency(1.0),
        );
    }

    /// Judges the total wait of all requests, which does not depend on queueing.
    fn judge_states(
        &self,
        run: &mut Run,
        setting: &Setting,
        server: Flavor,
        before: &Scrape,
        after: &Scrape,
    ) {
        let held = self.schedule.times().len() as f64 * self.wait.as_secs_f64();
        let spent = after.states(server).since(&before.states(server));
        let (quantity, observed) = match server {
            Flavor::Sync => ("threads blocked", spent.blocked),
            Flavor::Async => (
                "time awaited without a thread",
                after.awaited(server) - before.awaited(server),
            ),
        };
        run.judge_state(
            setting,
            Prediction::between(
                quantity,
                Unit::Seconds,
                held * 0.9,
                held * 1.25,
                "number of requests times their wait; tolerance -10 %, and +25 % for the cost of a request besides its wait",
            ),
            observed,
            &spent,
        );
    }

    fn note_cost(&self, run: &mut Run, first_row: usize, before: &Scrape, after: &Scrape) {
        let requests = self.schedule.times().len() as f64;
        let cpu = |server| {
            let spent = after.states(server).since(&before.states(server));
            spent.running * 1e3 / requests
        };
        // In a lab of one process the memory cannot be attributed to a server.
        let memory = if after.processes() == 1 {
            String::new()
        } else {
            let growth = |server| {
                let resident = |scrape: &Scrape| scrape.process(server, RESIDENT_MEMORY);
                (resident(after) - resident(before)) / f64::from(1 << 20)
            };
            format!(
                " Resident memory grew by: sync {:.1} MiB, async {:.1} MiB.",
                growth(Flavor::Sync),
                growth(Flavor::Async)
            )
        };
        let needed = self.rate * self.wait.as_secs_f64();
        run.note_rows(first_row, format!(
            "{:.0} requests per second with a wait of {:.2} s need {needed:.1} synchronous threads or one event loop. CPU \
             time per request: sync {:.2} ms, async {:.2} ms.{memory}",
            self.rate,
            self.wait.as_secs_f64(),
            cpu(Flavor::Sync),
            cpu(Flavor::Async),
        ));
    }
}
