//! The article's experiment, which the lab is built around.

use std::time::{Duration, Instant};

use futures_util::future::{self, Either};
use tokio::time::sleep;

use super::pair::{self, Pair};
use super::{Experiment, about, at_once};
use crate::experiment::lab::{Exchange, Lab, Via};
use crate::experiment::report::{Bar, Prediction, Run, Slice, Timeline, Unit};
use crate::experiment::{Error, Server, States};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "article",
    question: "Does /dummy wait for /?",
    model: "Each server has one thread. A synchronous thread waits with its request, so /dummy, sent half a second \
            after /, waits for the rest of it. An event loop puts the waiting request aside.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// As many slices of a timeline as fit a terminal beside their labels.
const SLICES: u32 = 60;
/// The metrics are not read more often than this.
const SHORTEST_SLICE: Duration = Duration::from_millis(50);

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let wait = lab.wait;
    let pause = Duration::from_millis(500).min(wait / 4);
    lab.say("both servers: / and then /dummy");
    let (sync, r#async) = future::try_join(
        observe(lab, Server::Sync, wait, pause),
        observe(lab, Server::Async, wait, pause),
    )
    .await?;
    judge_sync(lab, run, &sync.0, wait, pause);
    judge_async(lab, run, &r#async.0, wait, pause);
    run.timelines.extend([sync.1, r#async.1]);
    Ok(())
}

fn judge_sync(lab: &Lab, run: &mut Run, seen: &Pair, wait: Duration, pause: Duration) {
    let setting = lab.setting(
        Server::Sync,
        Via::Front,
        seen.threads,
        wait,
        "/, then /dummy",
    );
    let (seconds, rest) = (wait.as_secs_f64(), (wait - pause).as_secs_f64());
    run.judge(
        &setting,
        about(
            "latency of /dummy",
            rest,
            0.1,
            "the rest of the wait of /; 10 % and 0.3 s for a busy machine",
        ),
        seen.dummy.seconds(),
    );
    run.judge_state(
        &setting,
        about(
            "threads blocked",
            seconds,
            0.1,
            "the thread is held, off CPU, for as long as / waits; tolerance as above",
        ),
        seen.spent.blocked,
        &seen.spent,
    );
}

fn judge_async(lab: &Lab, run: &mut Run, seen: &Pair, wait: Duration, pause: Duration) {
    let setting = lab.setting(
        Server::Async,
        Via::Front,
        seen.threads,
        wait,
        "/, then /dummy",
    );
    let seconds = wait.as_secs_f64();
    run.judge(
        &setting,
        Prediction::at_most(
            "latency of /dummy",
            Unit::Seconds,
            at_once(wait - pause),
            "nothing is in its way; at most 0.5 s and a quarter of what it would be if it waited",
        ),
        seen.dummy.seconds(),
    );
    run.judge_state(
        &setting,
        about(
            "threads awaiting",
            seconds,
            0.1,
            "the loop is parked with one request in flight for as long as / waits; 10 % and 0.3 s \
             for a busy machine",
        ),
        seen.spent.awaiting,
        &seen.spent,
    );
}

/// The pair, and how it looks over time.
async fn observe(
    lab: &Lab,
    server: Server,
    wait: Duration,
    pause: Duration,
) -> Result<(Pair, Timeline), Error> {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    let mut slices = Vec::new();
    let start = Instant::now();
    let asked = Box::pin(pair::ask(lab, server, &path, pause));
    let watched = Box::pin(watch(lab, server, wait, start, &mut slices));
    let pair = match future::select(asked, watched).await {
        Either::Left((pair, _)) => pair?,
        Either::Right((Err(error), _)) => return Err(error),
        Either::Right((Ok(never), _)) => match never {},
    };
    let timeline = Timeline {
        server: server.as_str(),
        seconds: start.elapsed().as_secs_f64(),
        requests: vec![
            bar("/", start, &pair.long),
            bar("/dummy", start, &pair.dummy),
        ],
        threads: slices,
    };
    Ok((pair, timeline))
}

/// Reads the threads' states again and again.
async fn watch(
    lab: &Lab,
    server: Server,
    wait: Duration,
    start: Instant,
    slices: &mut Vec<Slice>,
) -> Result<std::convert::Infallible, Error> {
    let mut last = States::default();
    loop {
        let states = lab.scrape().await?.states(server);
        if last != States::default() {
            slices.push(Slice::new(
                start.elapsed().as_secs_f64(),
                &states.since(&last),
            ));
        }
        last = states;
        sleep((wait / SLICES).max(SHORTEST_SLICE)).await;
    }
}

fn bar(path: &str, start: Instant, exchange: &Exchange) -> Bar {
    let timing = exchange
        .result
        .as_ref()
        .map_or_else(|_| Default::default(), |answer| answer.timing);
    Bar {
        path: path.to_owned(),
        at_seconds: exchange
            .intended
            .saturating_duration_since(start)
            .as_secs_f64(),
        queued_seconds: timing.queue.as_secs_f64(),
        held_seconds: timing.held.as_secs_f64(),
        awaited_seconds: timing.awaited.as_secs_f64(),
    }
}
