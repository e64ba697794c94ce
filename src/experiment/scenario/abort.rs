//! Clients that give up.

use std::time::Duration;

use tokio::time::timeout;

use super::{Experiment, about, at_once};
use crate::experiment::lab::{Exchange, Lab, Via};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::{Error, Server, States};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "abort",
    question: "What happens when the client gives up?",
    model: "The front closes its connection to the server when the client closes its own. An event loop sees that and \
            drops the handler. A synchronous thread waits and does not look, so the work goes on for nobody and \
            /dummy, sent after the abort, waits for it.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let wait = (lab.wait / 4).clamp(Duration::from_millis(1500), Duration::from_secs(5));
    let patience = wait / 5;
    for server in Server::BOTH {
        lab.say(&format!("{server}: / is given up, then /dummy"));
        let before = lab.scrape().await?;
        give_up(lab, server, wait, patience).await;
        let dummy = lab.get(server, "/dummy").await;
        let after = lab.quiet().await?;
        let load = format!(
            "/ given up after {:.1} s, then /dummy",
            patience.as_secs_f64()
        );
        let setting = lab.setting(server, Via::Front, after.threads(server), wait, load);
        let spent = after.states(server).since(&before.states(server));
        match server {
            Server::Sync => judge_sync(run, &setting, wait, patience, &dummy, &spent),
            Server::Async => judge_async(run, &setting, wait, patience, &dummy, &spent),
        }
    }
    Ok(())
}

/// The connection is closed when the request's future is dropped.
async fn give_up(lab: &Lab, server: Server, wait: Duration, patience: Duration) {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    // An answer so early would be wrong, and shows in the latency and the states.
    let _ = timeout(patience, lab.get(server, &path)).await;
}

fn judge_sync(
    run: &mut Run,
    setting: &Setting,
    wait: Duration,
    patience: Duration,
    dummy: &Exchange,
    spent: &States,
) {
    let (seconds, rest) = (wait.as_secs_f64(), (wait - patience).as_secs_f64());
    run.judge(
        setting,
        about(
            "latency of /dummy",
            rest,
            0.15,
            "the thread is held to the end of the wait; 15 % and 0.3 s for a busy machine",
        ),
        dummy.seconds(),
    );
    run.judge_state(
        setting,
        about(
            "thread blocked",
            seconds,
            0.15,
            "the whole wait, though nobody waits for its answer; tolerance as above",
        ),
        spent.blocked,
        spent,
    );
}

fn judge_async(
    run: &mut Run,
    setting: &Setting,
    wait: Duration,
    patience: Duration,
    dummy: &Exchange,
    spent: &States,
) {
    run.judge(
        setting,
        Prediction::at_most(
            "latency of /dummy",
            Unit::Seconds,
            at_once(wait),
            "the thread is free; at most 0.5 s and a quarter of the wait, for a busy machine",
        ),
        dummy.seconds(),
    );
    let patience = patience.as_secs_f64();
    run.judge_state(
        setting,
        Prediction::between(
            "thread awaiting",
            Unit::Seconds,
            patience * 0.7,
            patience * 1.3 + wait.as_secs_f64() * 0.2,
            "a request is in flight until the client gives up and not longer; 30 %, and a fifth of the wait for the \
             news to arrive",
        ),
        spent.awaiting,
        spent,
    );
}
