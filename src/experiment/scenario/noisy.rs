//! One request in a hundred that blocks the event loop.

use std::time::Duration;

use futures_util::future;

use super::definition::{Experiment, GuessQuestion};
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::load::{self, LoadResult};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::schedule::Schedule;
use crate::experiment::scrape::StateSeconds;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "noisy",
    question: "Who pays for one bad handler?",
    model: "On one event loop, requests that arrive while a handler holds the thread wait until it has finished. With \
            b bad requests per second that each hold it for H seconds, the share b·H of the others waits, uniformly \
            from 0 to H: the median does not change, and p99 is H - 0.01/b. The same call on the blocking pool does \
            not hold the thread.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Async,
            quantity: "p99 of /dummy",
            conditions: "/blocking",
            text: |_| {
                "One request in a hundred blocks the event loop for 0.4 s. What is the 99th percentile of the latency of the others, in seconds?".into()
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "p99 of /dummy",
            conditions: "/offloaded",
            text: |_| "And if the blocking call runs on the blocking pool?".into(),
        },
    ],
    duration: |config| load_length(config.wait) * 3,
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Good requests per second: few, so that serving those that waited takes little time.
const RATE: f64 = 40.0;
/// Bad requests per second: one in a hundred, or one every 2.5 s.
const BAD_RATE: f64 = RATE / 100.0;
/// Time for which a bad request holds the thread.
const HOLD: Duration = Duration::from_millis(400);

/// Returns the number of bad requests, one to four.
fn bad_requests(wait: Duration) -> f64 {
    (wait.as_secs_f64() / 5.0).floor().clamp(1.0, 4.0)
}

/// Returns the length of each load: a whole number of gaps between bad requests.
fn load_length(wait: Duration) -> Duration {
    Duration::from_secs_f64(bad_requests(wait) / BAD_RATE)
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let length = load_length(lab.wait);
    let bad_requests = bad_requests(lab.wait);
    for bad in ["/blocking", "/cpu", "/offloaded"] {
        lab.show_step(&format!("async: 1 % of the requests call {bad}"));
        let before = lab.scrape().await?;
        let good = load_both(lab, bad, length).await;
        let after = lab.wait_until_quiet().await?;
        let load = format!("{RATE:.0}/s /dummy, {BAD_RATE:.1}/s {bad}");
        let mut setting = lab.setting(
            Flavor::Async,
            Via::Front,
            after.threads(Flavor::Async),
            HOLD,
            load,
        );
        setting.pool_threads = (bad == "/offloaded").then(|| after.pool(Flavor::Async));
        let spent = after
            .states(Flavor::Async)
            .since(&before.states(Flavor::Async));
        let held = bad_requests * HOLD.as_secs_f64();
        run.curves
            .push(good.curve(Flavor::Async, format!("/dummy beside {bad}")));
        judge_latency(run, &setting, bad, &good, &spent);
        judge_state(run, &setting, bad, held, &spent);
    }
    Ok(())
}

async fn load_both(lab: &LabClient, bad: &str, length: Duration) -> LoadResult {
    let bad = format!("{bad}?seconds={}", HOLD.as_secs_f64());
    let (good_times, bad_times) = (
        Schedule::poisson(RATE, length),
        Schedule::even(BAD_RATE, length),
    );
    let (good, _) = future::join(
        load::run(
            lab,
            (Flavor::Async, Via::Front),
            "/dummy",
            &good_times,
            length,
        ),
        load::run(lab, (Flavor::Async, Via::Front), &bad, &bad_times, length),
    )
    .await;
    good
}

fn judge_latency(
    run: &mut Run,
    setting: &Setting,
    bad: &str,
    good: &LoadResult,
    spent: &StateSeconds,
) {
    let hold = HOLD.as_secs_f64();
    run.judge(
        setting,
        Prediction::at_most(
            "median of /dummy",
            Unit::Seconds,
            hold / 2.0,
            "most requests find the thread free; the limit is H/2",
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
            "H - 0.01/b; tolerance -30 %, and +100 % because the requests that waited are then served one after the other",
        ),
        "/cpu" => Prediction::between(
            quantity,
            Unit::Seconds,
            p99 * 0.7,
            p99 * 2.0 + spent.runnable,
            "H - 0.01/b; tolerance as for /blocking, plus the time for which the thread waited for a CPU, because H is \
             CPU time",
        ),
        _ => Prediction::at_most(
            quantity,
            Unit::Seconds,
            p99 * 0.5,
            "the thread is free; at most half of H - 0.01/b",
        ),
    };
    run.judge(setting, prediction, good.latency(0.99));
}

fn judge_state(run: &mut Run, setting: &Setting, bad: &str, held: f64, spent: &StateSeconds) {
    let because =
        "the thread is in this state while bad requests hold it; tolerance 25 % for a busy machine";
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
            Prediction::between(
                "thread running",
                Unit::Seconds,
                held * 0.75,
                held * 1.25 + 0.2,
                because,
            ),
            spent.running,
        ),
        _ => (
            Prediction::at_most("thread blocked", Unit::Seconds, held * 0.25, because),
            spent.blocked,
        ),
    };
    run.judge_state(setting, prediction, observed, spent);
}
