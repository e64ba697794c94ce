//! One request in a hundred that behaves badly.

use std::time::Duration;

use futures_util::future;

use super::Experiment;
use crate::experiment::lab::{Lab, Via};
use crate::experiment::load::{self, Load};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::{Error, Schedule, Server, States};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "noisy",
    question: "Who pays for one bad handler?",
    model: "On one event loop, requests that come while a handler holds the thread wait for its end. With b bad \
            requests a second that hold it for H, the share b·H of all others waits, evenly from 0 to H: the median \
            sees nothing, and p99 is H - 0.01/b. Offloaded, the same call holds nothing.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Good requests a second: few, so that serving those that waited takes no time.
const RATE: f64 = 40.0;
/// One in a hundred is bad: one every 2.5 s.
const BAD_RATE: f64 = RATE / 100.0;
/// How long a bad one holds the thread.
const HOLD: Duration = Duration::from_millis(400);

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    // Whole gaps between two bad requests, one to four.
    let bad_requests = (lab.wait.as_secs_f64() / 5.0).floor().clamp(1.0, 4.0);
    let length = Duration::from_secs_f64(bad_requests / BAD_RATE);
    for bad in ["/blocking", "/cpu", "/offloaded"] {
        lab.say(&format!("async: 1 % of the requests call {bad}"));
        let before = lab.scrape().await?;
        let good = load_both(lab, bad, length).await;
        let after = lab.quiet().await?;
        let load = format!("{RATE:.0}/s /dummy, {BAD_RATE:.1}/s {bad}");
        let mut setting = lab.setting(
            Server::Async,
            Via::Front,
            after.threads(Server::Async),
            HOLD,
            load,
        );
        setting.pool_threads = (bad == "/offloaded").then(|| after.pool(Server::Async));
        let spent = after
            .states(Server::Async)
            .since(&before.states(Server::Async));
        let held = bad_requests * HOLD.as_secs_f64();
        run.curves.push(good.curve(format!("/dummy beside {bad}")));
        judge_latency(run, &setting, bad, &good);
        judge_state(run, &setting, bad, held, &spent);
    }
    Ok(())
}

async fn load_both(lab: &Lab, bad: &str, length: Duration) -> Load {
    let bad = format!("{bad}?seconds={}", HOLD.as_secs_f64());
    let (good_times, bad_times) = (
        Schedule::poisson(RATE, length),
        Schedule::even(BAD_RATE, length),
    );
    let (good, _) = future::join(
        load::run(
            lab,
            (Server::Async, Via::Front),
            "/dummy",
            &good_times,
            length,
        ),
        load::run(lab, (Server::Async, Via::Front), &bad, &bad_times, length),
    )
    .await;
    good
}

fn judge_latency(run: &mut Run, setting: &Setting, bad: &str, good: &Load) {
    let hold = HOLD.as_secs_f64();
    run.judge(
        setting,
        Prediction::at_most(
            "median of /dummy",
            Unit::Seconds,
            hold / 2.0,
            "most requests meet a free thread; half of the hold for a busy machine",
        ),
        good.latency(0.5),
    );
    let p99 = hold - 0.01 / BAD_RATE;
    let quantity = "p99 of /dummy";
    let prediction = match bad {
        "/blocking" => Prediction::between(
            quantity,
            Unit::Seconds,
            p99 * 0.7,
            p99 * 2.0,
            "H - 0.01/b; up to twice that, because those that waited are then served one after the other",
        ),
        "/cpu" => Prediction::at_least(
            quantity,
            Unit::Seconds,
            p99 * 0.7,
            "H - 0.01/b at least; H is CPU time, which takes longer where others want the CPU, too",
        ),
        _ => Prediction::at_most(
            quantity,
            Unit::Seconds,
            p99 * 0.5,
            "the thread is free; less than half of what it would be if it were held",
        ),
    };
    run.judge(setting, prediction, good.latency(0.99));
}

fn judge_state(run: &mut Run, setting: &Setting, bad: &str, held: f64, spent: &States) {
    let because = "the bad requests' seconds show as what they did with the thread; a quarter for a busy machine";
    let (prediction, observed) = match bad {
        "/blocking" => (
            Prediction::between(
                "thread blocked",
                Unit::Seconds,
                held * 0.75,
                held * 1.25 + 0.2,
                because,
            ),
            spent.blocked,
        ),
        "/cpu" => (
            Prediction::at_least("thread running", Unit::Seconds, held * 0.75, because),
            spent.running,
        ),
        _ => (
            Prediction::at_most("thread blocked", Unit::Seconds, held * 0.25, because),
            spent.blocked,
        ),
    };
    run.judge_state(setting, prediction, observed, spent);
}
