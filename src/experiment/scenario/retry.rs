//! Clients that time out and retry.

use std::time::Duration;

use futures_util::future;
use tokio::time::{sleep, timeout};

use super::definition::{Experiment, GuessQuestion};
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::scrape::Scrape;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "retry",
    question: "Do retries help?",
    model: "A synchronous thread finishes a request that it has begun, also when the client has timed out, and the \
            retries queue behind it. It skips requests whose clients left while they were queued. If the timeout is \
            shorter than the wait, the thread works without a pause, and no client ever gets a response. An event loop \
            drops an abandoned request.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "clients with a response",
            conditions: "attempts",
            text: |_| {
                format!(
                    "{CLIENTS} clients time out after half of the wait and make {ATTEMPTS} attempts each. How many get a response from the synchronous server?"
                )
            },
        },
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "waits that blocked a thread",
            conditions: "attempts",
            text: |_| "For how many waits do they hold its thread?".into(),
        },
    ],
    // Three waits of the clients without timeout, and two for each server with those that retry.
    duration: |config| attempt_wait(config.wait) * 7,
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Number of concurrent clients.
const CLIENTS: usize = 3;
/// Attempts per client, the first included.
const ATTEMPTS: usize = 3;
/// Timeout of the clients, as a part of the wait.
const TIMEOUT_IN_WAITS: f64 = 0.5;

fn attempt_wait(wait: Duration) -> Duration {
    (wait / 20).clamp(Duration::from_millis(400), Duration::from_secs(1))
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let wait = attempt_wait(lab.wait);
    // The baseline: clients that never time out.
    let long = wait * 100;
    let short = wait.mul_f64(TIMEOUT_IN_WAITS);
    for (server, client_timeout) in [
        (Flavor::Sync, long),
        (Flavor::Sync, short),
        (Flavor::Async, short),
    ] {
        let retries = client_timeout == short;
        lab.show_step(&format!("{server}: {CLIENTS} clients"));
        let before = lab.scrape().await?;
        let clients =
            future::join_all((0..CLIENTS).map(|_| retry(lab, server, wait, client_timeout)));
        let (responses, queue) =
            future::join(clients, longest_queue(lab, server, wait, retries)).await;
        let after = lab.wait_until_quiet().await?;
        let load = if retries {
            format!(
                "{CLIENTS} clients, {ATTEMPTS} attempts, timeout {:.1} s",
                short.as_secs_f64()
            )
        } else {
            format!("{CLIENTS} clients without timeout")
        };
        let setting = lab.setting(server, Via::Front, after.threads(server), wait, load);
        let responses = responses.into_iter().filter(|response| *response).count();
        let observation = RetryObservation {
            responses: responses as f64,
            queue: queue?,
            before,
            after,
        };
        observation.judge(run, &setting, server, retries);
    }
    Ok(())
}

/// Sends `GET /` until there is a response, at most [`ATTEMPTS`] times. Returns true if one succeeded.
async fn retry(lab: &LabClient, server: Flavor, wait: Duration, client_timeout: Duration) -> bool {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    for _ in 0..ATTEMPTS {
        if let Ok(attempt) = timeout(client_timeout, lab.get(server, &path)).await {
            return attempt.succeeded();
        }
    }
    false
}

/// Returns the queue at its longest: when the last clients have timed out, just before the second
/// request ends.
async fn longest_queue(
    lab: &LabClient,
    server: Flavor,
    wait: Duration,
    retries: bool,
) -> Result<f64, Error> {
    sleep(if retries { wait * 7 / 4 } else { wait / 2 }).await;
    Ok(lab.scrape().await?.queued(server))
}

struct RetryObservation {
    responses: f64,
    queue: f64,
    before: Scrape,
    after: Scrape,
}

impl RetryObservation {
    fn judge(&self, run: &mut Run, setting: &Setting, server: Flavor, retries: bool) {
        let clients = CLIENTS as f64;
        run.judge(
            setting,
            exactly(
                "clients with a response",
                if retries { 0.0 } else { clients },
                "none if the timeout is shorter than the wait, else all",
            ),
            self.responses,
        );
        // The thread is never free while there are attempts, and finishes the last one that it begins.
        let attempts = (ATTEMPTS as f64 * TIMEOUT_IN_WAITS).ceil();
        let processed =
            (server == Flavor::Sync).then_some(if retries { attempts } else { clients });
        let spent = self.after.states(server).since(&self.before.states(server));
        run.judge_state(
            setting,
            self.threads_held(setting, processed),
            spent.blocked / setting.wait_seconds,
            &spent,
        );
        if server == Flavor::Sync {
            run.judge(
                setting,
                Prediction::between(
                    "longest queue",
                    Unit::Count,
                    clients - 2.0,
                    if retries { clients * 2.0 } else { clients },
                    "the clients but the one whose request the thread has taken, and those that left since",
                ),
                self.queue,
            );
        }
    }

    fn threads_held(&self, setting: &Setting, processed: Option<f64>) -> Prediction {
        let quantity = "waits that blocked a thread";
        match processed {
            Some(processed) => Prediction::between(
                quantity,
                Unit::Count,
                processed * 0.85,
                processed * 1.15 + 0.5 / setting.wait_seconds.max(0.1),
                "a request that the thread has begun holds it for the whole wait, abandoned or not, and those \
                 abandoned in the queue do not; tolerance 15 % and 0.5 s for a busy machine",
            ),
            None => Prediction::at_most(
                quantity,
                Unit::Count,
                0.5,
                "the event loop does not hold its thread while it waits; the limit is half a wait",
            ),
        }
    }
}

fn exactly(quantity: &str, count: f64, because: &'static str) -> Prediction {
    Prediction::between(quantity, Unit::Count, count, count, because)
}
