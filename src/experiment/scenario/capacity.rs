//! What a number of threads can carry.

use std::time::Duration;

use futures_util::future;

use super::Experiment;
use crate::experiment::lab::{Lab, Via};
use crate::experiment::load::{self, Load};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::{Error, Schedule, Scrape, Server};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "capacity",
    question: "How many threads is one event loop worth?",
    model: "Little's law: L requests per second that each hold a thread for W need L·W threads. N synchronous threads \
            carry N/W a second; beyond that the queue grows without end. The latencies are those of a queue with N \
            servers, worked out for the very times at which the requests are sent. One event loop holds its thread \
            for none of W.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// The lower of two ceilings to be tried, in requests a second; the wait is what makes it the
/// ceiling. Few, so that the cost of a request itself does not count.
const CEILING: f64 = 10.0;
/// The longest wait, in seconds: many threads get a higher ceiling instead.
const LONGEST_WAIT: f64 = 0.5;
/// Offered load as a share of the ceiling.
const LOADS: [f64; 2] = [0.5, 1.5];

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let threads = lab.scrape().await?.threads(Server::Sync);
    let lower = CEILING.max(threads as f64 / LONGEST_WAIT);
    for ceiling in [lower, 2.0 * lower] {
        let wait = Duration::from_secs_f64(threads as f64 / ceiling);
        // A wait is a small part of the time.
        let length = (lab.wait / 4).clamp(Duration::from_millis(1500), Duration::from_secs(5));
        let length = length.max(wait * 10);
        for share in LOADS {
            lab.say(&format!(
                "{:.0} % of {ceiling} requests a second",
                share * 100.0
            ));
            let trial = Trial {
                rate: ceiling * share,
                wait,
                length,
                schedule: Schedule::poisson(ceiling * share, length),
            };
            trial.perform(lab, run, share > 1.0).await?;
        }
    }
    Ok(())
}

/// One load on both servers at once.
struct Trial {
    rate: f64,
    wait: Duration,
    length: Duration,
    schedule: Schedule,
}

impl Trial {
    async fn perform(&self, lab: &Lab, run: &mut Run, overloads: bool) -> Result<(), Error> {
        let path = format!("/?seconds={}", self.wait.as_secs_f64());
        let before = lab.scrape().await?;
        let load = |server| {
            load::run(
                lab,
                (server, Via::Front),
                &path,
                &self.schedule,
                self.length,
            )
        };
        let (sync, r#async) = future::join(load(Server::Sync), load(Server::Async)).await;
        let after = lab.quiet().await?;
        self.judge(
            run,
            &self.setting(lab, &after, Server::Sync),
            &sync,
            after.threads(Server::Sync),
            overloads,
        );
        // As if there were a thread for each request.
        self.judge(
            run,
            &self.setting(lab, &after, Server::Async),
            &r#async,
            self.schedule.times().len(),
            false,
        );
        for server in Server::BOTH {
            self.judge_states(
                run,
                &self.setting(lab, &after, server),
                server,
                &before,
                &after,
            );
        }
        self.note_cost(run, &before, &after);
        Ok(())
    }

    fn setting(&self, lab: &Lab, scrape: &Scrape, server: Server) -> Setting {
        let requests = self.schedule.times().len();
        let load = format!(
            "{:.0}/s: {requests} requests in {:.1} s",
            self.rate,
            self.length.as_secs_f64()
        );
        lab.setting(server, Via::Front, scrape.threads(server), self.wait, load)
    }

    /// Compares with a queue before `servers` threads.
    fn judge(
        &self,
        run: &mut Run,
        setting: &Setting,
        load: &Load,
        servers: usize,
        overloads: bool,
    ) {
        let curve = load.curve(format!(
            "{}, {:.0}/s, wait {:.2} s",
            setting.server, self.rate, setting.wait_seconds
        ));
        run.curves.push(curve);
        let latencies = self.schedule.latencies(servers, self.wait);
        let times = self.schedule.times().iter().zip(&latencies);
        let in_time = times
            .filter(|(sent, latency)| **sent + **latency <= self.length)
            .count() as f64;
        let seconds = self.length.as_secs_f64();
        run.judge(
            setting,
            Prediction::between(
                "answers",
                Unit::PerSecond,
                (in_time * 0.8 - 2.0) / seconds,
                (in_time * 1.1 + 2.0) / seconds,
                "what such a queue lets through while the load lasts; 20 % less or 10 % more, and two requests at the \
                 edge",
            ),
            load.in_time as f64 / seconds,
        );
        let longest = latencies
            .iter()
            .max()
            .copied()
            .unwrap_or_default()
            .as_secs_f64();
        run.judge(
            setting,
            Prediction::between(
                if overloads { "longest latency, beyond the ceiling" } else { "longest latency" },
                Unit::Seconds,
                longest * 0.8,
                longest * 1.4 + 0.25,
                "that of such a queue; 40 % and 0.25 s more, because the requests have a cost of their own, which \
                 adds up in a queue",
            ),
            load.latency(1.0),
        );
    }

    /// Each request holds, or waits without, a thread for as long as it waits, queue or not.
    fn judge_states(
        &self,
        run: &mut Run,
        setting: &Setting,
        server: Server,
        before: &Scrape,
        after: &Scrape,
    ) {
        let held = self.schedule.times().len() as f64 * self.wait.as_secs_f64();
        let spent = after.states(server).since(&before.states(server));
        let (quantity, observed) = match server {
            Server::Sync => ("threads blocked", spent.blocked),
            Server::Async => (
                "waits without a thread",
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
                "requests times their wait; a quarter more for what a request costs beside its wait",
            ),
            observed,
            &spent,
        );
    }

    fn note_cost(&self, run: &mut Run, before: &Scrape, after: &Scrape) {
        let requests = self.schedule.times().len() as f64;
        let cpu = |server| {
            let spent = after.states(server).since(&before.states(server));
            spent.running * 1e3 / requests
        };
        let memory =
            |server| after.process(server, "process_resident_memory_bytes") / f64::from(1 << 20);
        let needed = self.rate * self.wait.as_secs_f64();
        run.notes.push(format!(
            "{:.0}/s that each wait {:.2} s need {needed:.1} synchronous threads or one event loop. CPU per request: \
             sync {:.2} ms, async {:.2} ms. Resident memory of the processes: sync {:.1} MiB, async {:.1} MiB{}.",
            self.rate,
            self.wait.as_secs_f64(),
            cpu(Server::Sync),
            cpu(Server::Async),
            memory(Server::Sync),
            memory(Server::Async),
            if after.processes() == 1 { " (one process runs both)" } else { "" },
        ));
    }
}
