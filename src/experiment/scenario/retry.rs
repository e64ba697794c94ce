//! Clients that give up and ask again.

use std::time::Duration;

use futures_util::future;
use tokio::time::{sleep, timeout};

use super::Experiment;
use crate::experiment::lab::{Lab, Via};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::{Error, Scrape, Server};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "retry",
    question: "Do retries help?",
    model: "A synchronous thread finishes what its client has given up, and the retry queues behind it: with r \
            retries every request is worked on 1 + r times, the accept queue grows by as much, and with a patience \
            shorter than the wait nobody is ever answered. An event loop drops what is given up.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Clients at once.
const CLIENTS: usize = 3;
/// How often each asks in all.
const ATTEMPTS: usize = 3;

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let wait = (lab.wait / 20).clamp(Duration::from_millis(400), Duration::from_secs(1));
    // Clients that wait as long as it takes, as the standard to compare with.
    let patient = wait * 100;
    let hasty = wait / 2;
    for (server, patience) in [
        (Server::Sync, patient),
        (Server::Sync, hasty),
        (Server::Async, hasty),
    ] {
        lab.say(&format!("{server}: {CLIENTS} clients"));
        let before = lab.scrape().await?;
        let clients = future::join_all((0..CLIENTS).map(|_| insist(lab, server, wait, patience)));
        let (answered, queue) =
            future::join(clients, longest_queue(lab, server, wait, patience == hasty)).await;
        let after = lab.quiet().await?;
        let load = if patience == hasty {
            format!(
                "{CLIENTS} clients ask {ATTEMPTS} times, {:.1} s each",
                hasty.as_secs_f64()
            )
        } else {
            format!("{CLIENTS} patient clients")
        };
        let setting = lab.setting(server, Via::Front, after.threads(server), wait, load);
        let answered = answered.into_iter().filter(|answered| *answered).count();
        let seen = Seen {
            answered: answered as f64,
            queue: queue?,
            before,
            after,
        };
        seen.judge(run, &setting, server, patience == hasty);
    }
    Ok(())
}

/// Asks until there is an answer or enough is enough. Returns whether there was one.
async fn insist(lab: &Lab, server: Server, wait: Duration, patience: Duration) -> bool {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    for _ in 0..ATTEMPTS {
        if let Ok(exchange) = timeout(patience, lab.get(server, &path)).await {
            return exchange.succeeded();
        }
    }
    false
}

/// The accept queue when the last clients have given up, just before the second request is over:
/// where it is longest.
async fn longest_queue(
    lab: &Lab,
    server: Server,
    wait: Duration,
    hasty: bool,
) -> Result<f64, Error> {
    sleep(if hasty { wait * 7 / 4 } else { wait / 2 }).await;
    Ok(lab.scrape().await?.accept_queue(server))
}

struct Seen {
    answered: f64,
    queue: f64,
    before: Scrape,
    after: Scrape,
}

impl Seen {
    fn judge(&self, run: &mut Run, setting: &Setting, server: Server, hasty: bool) {
        let clients = CLIENTS as f64;
        run.judge(
            setting,
            exactly(
                "clients answered",
                if hasty { 0.0 } else { clients },
                "nobody, if patience is shorter than the wait; else everybody",
            ),
            self.answered,
        );
        let worked = (server == Server::Sync).then_some(if hasty {
            clients * ATTEMPTS as f64
        } else {
            clients
        });
        let spent = self.after.states(server).since(&self.before.states(server));
        run.judge_state(
            setting,
            self.threads_held(setting, worked),
            spent.blocked / setting.wait_seconds,
            &spent,
        );
        if let Some(worked) = worked {
            run.judge(
                setting,
                Prediction::between(
                    "longest accept queue",
                    Unit::Count,
                    worked - 2.0 - f64::from(u8::from(hasty)),
                    worked,
                    "every attempt but those that a thread has taken",
                ),
                self.queue,
            );
        }
    }

    fn threads_held(&self, setting: &Setting, worked: Option<f64>) -> Prediction {
        let quantity = "waits that blocked a thread";
        match worked {
            Some(worked) => Prediction::between(
                quantity,
                Unit::Count,
                worked * 0.85,
                worked * 1.15 + 0.5 / setting.wait_seconds.max(0.1),
                "each attempt holds the thread for the whole wait, given up or not; 15 % and half a second for a \
                 busy machine",
            ),
            None => Prediction::at_most(
                quantity,
                Unit::Count,
                0.5,
                "the event loop waits without holding its thread; half a wait for a busy machine",
            ),
        }
    }
}

fn exactly(quantity: &str, count: f64, because: &'static str) -> Prediction {
    Prediction::between(quantity, Unit::Count, count, count, because)
}
