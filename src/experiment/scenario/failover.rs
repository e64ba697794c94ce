//! A replica that dies, and one that is asked to end, under a steady load.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{self, Either};
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, sleep_until};

use super::Experiment;
use crate::experiment::lab::{Lab, Via};
use crate::experiment::load::Load;
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::{Error, Scrape, Server};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "failover",
    question: "Does a dying replica lose requests?",
    model: "A replica that is asked to end answers what it has first, and the front asks another one for what it \
            refuses: nothing is lost. For what a killed replica leaves unanswered the front asks another one, too, \
            because GET may be repeated: that waits twice. Lost is what the front sends to the dead one's address \
            until the DNS has forgotten it, where nobody answers and nobody refuses. Those that are left carry the \
            whole load.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

const SERVER: Server = Server::Async;
/// Requests a second.
const RATE: f64 = 40.0;
/// How often the replicas are looked for.
const LOOK: Duration = Duration::from_millis(200);
/// How long whoever kills and restarts may take for each.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the load goes on when all replicas are there again: the front learns of them within
/// 2 s.
const SETTLES: Duration = Duration::from_secs(3);

/// How long the front may take for a dead replica's address: 1 s until it asks the DNS again
/// (`nginx/upstreams.conf`), and 2 s for a busy container engine to tell the DNS.
const FORGOTTEN: Duration = Duration::from_secs(3);

/// What happens to a replica. Each request counts to what was next when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Restarted,
    Over,
}

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let wait = (lab.wait / 20).clamp(Duration::from_millis(250), Duration::from_secs(1));
    let replicas = lab.scrape_living().await.started(SERVER).len();
    if replicas < 2 {
        return Err(Error::NotHere(format!(
            "it needs two replicas of {SERVER} behind nginx, and someone who kills one; against the Compose stack, \
             `scripts/failover` does all of it"
        )));
    }
    let fate = Cell::new(Fate::Killed);
    let load = Box::pin(steady_load(lab, wait, &fate));
    let watch = Box::pin(watch(lab, replicas, &fate));
    let (killed, restarted, outage) = match future::select(load, watch).await {
        Either::Left(((killed, restarted), watch)) => (killed, restarted, watch.await?),
        Either::Right((outage, load)) => {
            let outage = outage?;
            let (killed, restarted) = load.await;
            (killed, restarted, outage)
        }
    };
    let seen = Seen { wait, replicas };
    seen.judge_killed(lab, run, &killed);
    seen.judge_restarted(lab, run, &restarted);
    seen.judge_survivor(lab, run, &outage);
    Ok(())
}

/// Sends a request every `1 / RATE` seconds until all is over, and waits for every answer. Returns
/// what became of those around the kill, and around the restart.
async fn steady_load(lab: &Lab, wait: Duration, fate: &Cell<Fate>) -> (Load, Load) {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    let (mut killed, mut restarted) = (Load::default(), Load::default());
    let mut add = |(fate, exchange)| match fate {
        Fate::Killed => killed.add(&exchange),
        Fate::Restarted | Fate::Over => restarted.add(&exchange),
    };
    let mut requests = FuturesUnordered::new();
    let mut due = Instant::now();
    while fate.get() != Fate::Over {
        due += Duration::from_secs_f64(1.0 / RATE);
        let next = Box::pin(sleep_until(due.into()));
        let answers = requests.by_ref().for_each(|answer| {
            add(answer);
            future::ready(())
        });
        if let Either::Right(((), next)) = future::select(next, answers).await {
            next.await;
        }
        let (fate, path) = (fate.get(), &path);
        requests.push(async move { (fate, lab.get_at(SERVER, Via::Front, path, due).await) });
    }
    while let Some(answer) = requests.next().await {
        add(answer);
    }
    (killed, restarted)
}

/// The replicas that were left once the dead one was forgotten: at first, and at last.
struct Outage {
    first: Scrape,
    last: Scrape,
}

impl Outage {
    /// By the replicas' own clocks: to find out that another one is dead takes its time.
    fn seconds(&self) -> f64 {
        self.last.wall(SERVER) - self.first.wall(SERVER)
    }
}

/// Asks for a kill and a restart, and sees both through.
async fn watch(lab: &Lab, replicas: usize, fate: &Cell<Fate>) -> Result<Outage, Error> {
    let living = |scrape: &Scrape| scrape.started(SERVER).len();
    let id = format!("$(docker compose ps --quiet {SERVER} | head -1)");
    lab.ask(&format!(
        "please kill one replica, and then start it again: docker kill {id}; sleep 6; docker start {id}"
    ));
    until(lab, "killed a replica", |scrape| living(scrape) < replicas).await?;
    sleep(FORGOTTEN).await;
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
    sleep(SETTLES).await;

    fate.set(Fate::Restarted);
    lab.ask(&format!(
        "please restart one replica gracefully: docker restart {id}"
    ));
    let started = whole.started(SERVER);
    until(lab, "restarted a replica", |scrape| {
        living(scrape) >= replicas && scrape.started(SERVER) != started
    })
    .await?;
    sleep(SETTLES).await;
    fate.set(Fate::Over);
    Ok(outage)
}

/// Looks at the replicas until it `holds`, and returns what it then saw.
async fn until(
    lab: &Lab,
    what: &str,
    mut holds: impl FnMut(&Scrape) -> bool,
) -> Result<Scrape, Error> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let scrape = lab.scrape_living().await;
        if holds(&scrape) {
            return Ok(scrape);
        }
        sleep(LOOK).await;
    }
    Err(Error::NotHere(format!(
        "nobody has {what} within {} s",
        PATIENCE.as_secs()
    )))
}

/// The circumstances.
struct Seen {
    wait: Duration,
    replicas: usize,
}

impl Seen {
    fn setting(&self, lab: &Lab, replicas: usize, what: &str) -> Setting {
        let load = format!("{RATE:.0}/s on {} replicas, {what}", self.replicas);
        lab.setting(SERVER, Via::Front, replicas, self.wait, load)
    }

    fn judge_killed(&self, lab: &Lab, run: &mut Run, load: &Load) {
        run.curves.push(load.curve("one killed"));
        run.judge(
            &self.setting(lab, self.replicas, "one killed"),
            Prediction::at_most(
                "requests lost, one killed",
                Unit::Count,
                RATE / self.replicas as f64 * FORGOTTEN.as_secs_f64(),
                "its share of the load for 3 s: the front asks the DNS once a second, and a busy container engine \
                 takes 2 s to tell it",
            ),
            load.failed() as f64,
        );
    }

    fn judge_restarted(&self, lab: &Lab, run: &mut Run, load: &Load) {
        run.curves.push(load.curve("one restarted"));
        run.judge(
            &self.setting(lab, self.replicas, "one restarted"),
            Prediction::at_most(
                "requests lost, one restarted",
                Unit::Count,
                0.0,
                "what it has taken it answers, what it refuses goes to another one, and what finds nobody for a \
                 moment is sent again by TCP",
            ),
            load.failed() as f64,
        );
    }

    /// By Little's law the load waits L·W seconds a second, whoever carries it.
    fn judge_survivor(&self, lab: &Lab, run: &mut Run, outage: &Outage) {
        if outage.seconds() < FORGOTTEN.as_secs_f64() / 3.0 {
            run.notes.push(
                "the replica was back too soon to see what the others carry without it".into(),
            );
            return;
        }
        let setting = self.setting(lab, self.replicas - 1, "one dead");
        let waits = RATE * self.wait.as_secs_f64();
        let awaited = outage.last.awaited(SERVER) - outage.first.awaited(SERVER);
        run.judge(
            &setting,
            Prediction::between(
                "requests that wait at a time",
                Unit::Count,
                waits * 0.75,
                waits * 1.25,
                "Little's law: the rate of requests times their wait, all of them on those that are left; a quarter for \
                 a busy machine",
            ),
            awaited / outage.seconds(),
        );
    }
}
