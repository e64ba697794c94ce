//! Client that gives up before the response.

use std::time::Duration;

use tokio::time::timeout;

use super::definition::{Experiment, GuessQuestion};
use crate::experiment::attempt::Attempt;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::scrape::StateSeconds;
use crate::experiment::waits::{at_once, short_wait};
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "abort",
    question: "What happens when the client gives up?",
    model: "When the client closes its connection, the front closes the one to the server. An event loop is notified \
            and drops the handler. A synchronous thread is inside the handler and does not notice: it finishes work \
            that nobody waits for, and /dummy, sent after the abort, has to wait for that.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "latency of /dummy",
            conditions: "",
            text: |wait| {
                format!(
                    "/ waits {:.1} s, but its client gives up after {:.1} s. Then /dummy is sent. After how many seconds does the synchronous server respond?",
                    short_wait(wait).as_secs_f64(),
                    (short_wait(wait) / 5).as_secs_f64()
                )
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "latency of /dummy",
            conditions: "",
            text: |_| "And the asynchronous server?".into(),
        },
    ],
    duration: |config| short_wait(config.wait) * 6 / 5,
    perform: |lab, run| Box::pin(perform(lab, run)),
};

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let wait = short_wait(lab.wait);
    let client_timeout = wait / 5;
    for server in Flavor::ALL {
        lab.show_step(&format!("{server}: client gives up on /, then /dummy"));
        let before = lab.scrape().await?;
        give_up(lab, server, wait, client_timeout).await;
        let dummy = lab.get(server, "/dummy").await;
        let after = lab.wait_until_quiet().await?;
        let load = format!(
            "/ given up after {:.1} s, then /dummy",
            client_timeout.as_secs_f64()
        );
        let setting = lab.setting(server, Via::Front, after.threads(server), wait, load);
        let spent = after.states(server).since(&before.states(server));
        match server {
            Flavor::Sync => judge_sync(run, &setting, wait, client_timeout, &dummy, &spent),
            Flavor::Async => judge_async(run, &setting, wait, client_timeout, &dummy, &spent),
        }
    }
    Ok(())
}

/// Sends `GET /` and closes the connection, by dropping the request's future, after `client_timeout`.
async fn give_up(lab: &LabClient, server: Flavor, wait: Duration, client_timeout: Duration) {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    // A response this early would be wrong; it would show in the latency of /dummy and in the thread states.
    let _ = timeout(client_timeout, lab.get(server, &path)).await;
}

fn judge_sync(
    run: &mut Run,
    setting: &Setting,
    wait: Duration,
    client_timeout: Duration,
    dummy: &Attempt,
    spent: &StateSeconds,
) {
    let (seconds, rest) = (wait.as_secs_f64(), (wait - client_timeout).as_secs_f64());
    run.judge(
        setting,
        Prediction::about(
            "latency of /dummy",
            rest,
            0.15,
            "the thread is held until the end of the wait; tolerance 15 % and 0.3 s for a busy machine",
        ),
        dummy.seconds(),
    );
    run.judge_state(
        setting,
        Prediction::about(
            "thread blocked",
            seconds,
            0.15,
            "the whole wait, although the client has disconnected; same tolerance",
        ),
        spent.blocked,
        spent,
    );
}

fn judge_async(
    run: &mut Run,
    setting: &Setting,
    wait: Duration,
    client_timeout: Duration,
    dummy: &Attempt,
    spent: &StateSeconds,
) {
    run.judge(
        setting,
        Prediction::at_most(
            "latency of /dummy",
            Unit::Seconds,
            at_once(wait),
            "the thread is free; the limit is 0.5 s or a quarter of the wait, whichever is lower",
        ),
        dummy.seconds(),
    );
    let client_timeout = client_timeout.as_secs_f64();
    run.judge_state(
        setting,
        Prediction::between(
            "thread awaiting",
            Unit::Seconds,
            client_timeout * 0.7,
            client_timeout * 1.3 + wait.as_secs_f64() * 0.2,
            "a request is in flight until the client gives up; tolerance 30 %, plus a fifth of the wait until the \
             server notices",
        ),
        spent.awaiting,
        spent,
    );
}
