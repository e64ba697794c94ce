//! A replica that is killed and one that is restarted gracefully, under a steady load.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{self, Either};
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, sleep_until};

use super::definition::{Experiment, GuessQuestion};
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::load::LoadResult;
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::scrape::Scrape;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "failover",
    question: "Does a dying replica lose requests?",
    model: "A replica that is restarted gracefully finishes its requests, and the front sends what it refuses to \
            another replica: nothing is lost. The requests of a killed replica are also sent to another one, because \
            GET is idempotent; they wait twice. At the dead replica's address nothing responds or refuses: a request \
            that the front sends there before DNS drops it goes to another replica after 2 s. It is lost only if DNS \
            is later than that. The remaining replicas carry the whole load.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Async,
            quantity: "requests lost, one killed",
            conditions: "",
            text: |_| {
                format!(
                    "{RATE} requests per second go to two replicas, and one is killed. How many requests are lost?"
                )
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "requests lost, one restarted",
            conditions: "",
            text: |_| "And if one is restarted gracefully?".into(),
        },
    ],
    duration: |_| Duration::from_secs(25),
    perform: |lab, run| Box::pin(perform(lab, run)),
};

const SERVER: Flavor = Flavor::Async;
/// Requests per second.
const RATE: f64 = 40.0;
/// Interval at which the replicas are scraped.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Deadline for each step of the person or script that kills and restarts the replicas.
const STEP_DEADLINE: Duration = Duration::from_secs(60);
/// Time for which the load continues when all replicas are back. The front learns of them within 2 s.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// Time after which the front no longer uses a dead replica's address: 1 s until it resolves the name again
/// (`nginx/upstreams.conf`), and 2 s for a busy container engine to update DNS.
const DNS_DELAY: Duration = Duration::from_secs(3);

/// Phase of the experiment. A request belongs to the phase in which it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A replica is killed and started again.
    Kill,
    /// A replica is restarted gracefully.
    Restart,
    /// No more requests are sent.
    Over,
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let wait = (lab.wait / 20).clamp(Duration::from_millis(250), Duration::from_secs(1));
    let replicas = lab.scrape_living().await.started(SERVER).len();
    if replicas < 2 {
        return Err(Error::NotHere(format!(
            "this experiment needs two replicas of the {SERVER} server behind nginx, and someone who kills one; \
             `scripts/failover` does both with the Compose stack"
        )));
    }
    let phase = Cell::new(Phase::Kill);
    let load = Box::pin(steady_load(lab, wait, &phase));
    let watch = Box::pin(direct(lab, replicas, &phase));
    let (killed, restarted, outage) = match future::select(load, watch).await {
        Either::Left(((killed, restarted), watch)) => (killed, restarted, watch.await?),
        Either::Right((outage, load)) => {
            let outage = outage?;
            let (killed, restarted) = load.await;
            (killed, restarted, outage)
        }
    };
    let conditions = Conditions { wait, replicas };
    conditions.judge_killed(lab, run, &killed);
    conditions.judge_restarted(lab, run, &restarted);
    conditions.judge_survivors(lab, run, &outage);
    Ok(())
}

/// Sends a request every `1 / RATE` seconds until the last phase, and waits for every response. Returns the
/// results of the kill phase and of the restart phase.
async fn steady_load(
    lab: &LabClient,
    wait: Duration,
    phase: &Cell<Phase>,
) -> (LoadResult, LoadResult) {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    let (mut killed, mut restarted) = (LoadResult::default(), LoadResult::default());
    let mut add = |(phase, attempt)| match phase {
        Phase::Kill => killed.add(&attempt),
        Phase::Restart | Phase::Over => restarted.add(&attempt),
    };
    let mut requests = FuturesUnordered::new();
    let mut due = Instant::now();
    while phase.get() != Phase::Over {
        due += Duration::from_secs_f64(1.0 / RATE);
        let next = Box::pin(sleep_until(due.into()));
        let responses = requests.by_ref().for_each(|attempt| {
            add(attempt);
            future::ready(())
        });
        if let Either::Right(((), next)) = future::select(next, responses).await {
            next.await;
        }
        let (phase, path) = (phase.get(), &path);
        requests.push(async move { (phase, lab.get_at(SERVER, Via::Front, path, due).await) });
    }
    while let Some(attempt) = requests.next().await {
        add(attempt);
    }
    (killed, restarted)
}

/// First and last scrape of the remaining replicas while the killed one was out of use.
struct Outage {
    first: Scrape,
    last: Scrape,
}

impl Outage {
    /// Length in seconds, by the replicas' own clocks, because a scrape that finds one dead takes up to its deadline.
    fn seconds(&self) -> f64 {
        self.last.wall(SERVER) - self.first.wall(SERVER)
    }
}

/// Prompts for the kill and the restart, and waits for both.
async fn direct(lab: &LabClient, replicas: usize, phase: &Cell<Phase>) -> Result<Outage, Error> {
    let living = |scrape: &Scrape| scrape.started(SERVER).len();
    let id = format!("$(docker compose ps --quiet {SERVER} | head -1)");
    lab.prompt(&format!(
        "please kill one replica, then start it again: docker kill {id}; sleep 6; docker start {id}"
    ));
    until(lab, "killed a replica", |scrape| living(scrape) < replicas).await?;
    sleep(DNS_DELAY).await;
    let first = lab.scrape_living().await;
    let mut outage = Outage {
        last: first.clone(),
        first,
    };
    let whole = until(lab, "started the killed replica again", |scrape| {
        let whole = living(scrape) >= replicas;
        if !whole {
            outage.last = scrape.clone();
        }
        whole
    })
    .await?;
    sleep(SETTLE_TIME).await;

    phase.set(Phase::Restart);
    lab.prompt(&format!(
        "please restart one replica gracefully: docker restart {id}"
    ));
    let started = whole.started(SERVER);
    until(lab, "restarted a replica", |scrape| {
        living(scrape) >= replicas && scrape.started(SERVER) != started
    })
    .await?;
    sleep(SETTLE_TIME).await;
    phase.set(Phase::Over);
    Ok(outage)
}

/// Scrapes the replicas until `holds` returns true, and returns that scrape.
async fn until(
    lab: &LabClient,
    what: &str,
    mut holds: impl FnMut(&Scrape) -> bool,
) -> Result<Scrape, Error> {
    let deadline = Instant::now() + STEP_DEADLINE;
    while Instant::now() < deadline {
        let scrape = lab.scrape_living().await;
        if holds(&scrape) {
            return Ok(scrape);
        }
        sleep(POLL_INTERVAL).await;
    }
    Err(Error::NotHere(format!(
        "nobody {what} within {} s",
        STEP_DEADLINE.as_secs()
    )))
}

/// Conditions of the experiment.
struct Conditions {
    wait: Duration,
    replicas: usize,
}

impl Conditions {
    fn setting(&self, lab: &LabClient, replicas: usize, what: &str) -> Setting {
        let load = format!("{RATE:.0}/s on {} replicas, {what}", self.replicas);
        lab.setting(SERVER, Via::Front, replicas, self.wait, load)
    }

    fn judge_killed(&self, lab: &LabClient, run: &mut Run, load: &LoadResult) {
        run.curves.push(load.curve(SERVER, "one killed"));
        run.judge(
            &self.setting(lab, self.replicas, "one killed"),
            Prediction::at_most(
                "requests lost, one killed",
                Unit::Count,
                RATE / self.replicas as f64 * DNS_DELAY.as_secs_f64(),
                "none if DNS is up to date when the front tries again after 2 s; otherwise its share of the load for \
                 3 s: the front resolves the name once per second, and a busy container engine takes 2 s to update DNS",
            ),
            load.failed() as f64,
        );
    }

    fn judge_restarted(&self, lab: &LabClient, run: &mut Run, load: &LoadResult) {
        run.curves.push(load.curve(SERVER, "one restarted"));
        run.judge(
            &self.setting(lab, self.replicas, "one restarted"),
            Prediction::at_most(
                "requests lost, one restarted",
                Unit::Count,
                0.0,
                "it finishes the requests it has accepted, the front sends those it refuses to another replica, and TCP \
                 retransmits a connection attempt that meets no listener",
            ),
            load.failed() as f64,
        );
    }

    /// Judges the load on the remaining replicas: by Little's law, λ·W requests wait at any time.
    fn judge_survivors(&self, lab: &LabClient, run: &mut Run, outage: &Outage) {
        if outage.seconds() < DNS_DELAY.as_secs_f64() / 3.0 {
            run.notes.push(
                "the replica was back too soon to measure the load on the others without it".into(),
            );
            return;
        }
        let setting = self.setting(lab, self.replicas - 1, "one dead");
        let waits = RATE * self.wait.as_secs_f64();
        let awaited = outage.last.awaited(SERVER) - outage.first.awaited(SERVER);
        run.judge(
            &setting,
            Prediction::between(
                "requests waiting at a time",
                Unit::Count,
                waits * 0.75,
                waits * 1.25,
                "Little's law: request rate times wait, all on the remaining replicas; tolerance 25 % for a busy \
                 machine",
            ),
            awaited / outage.seconds(),
        );
    }
}
