//! The article's experiment, around which the lab is built.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures_util::future::{self, Either};
use tokio::time::sleep;

use super::definition::{Experiment, GuessQuestion};
use super::pair::{self, Pair};
use crate::experiment::attempt::Attempt;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::lab_server::LabServer;
use crate::experiment::report::{Prediction, RequestBar, Run, Setting, StateSlice, Timeline, Unit};
use crate::experiment::scrape::StateSeconds;
use crate::experiment::waits::at_once;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "article",
    question: "Does /dummy wait for /?",
    model: "Each server has one thread. A synchronous thread is blocked while / waits, so /dummy, sent shortly \
            after /, waits until / has finished. An event loop suspends the waiting request and serves /dummy at once.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "latency of /dummy",
            conditions: "",
            text: |wait| {
                format!(
                    "/ waits {:.1} s, and /dummy is sent shortly after it. After how many seconds does the synchronous server respond to /dummy?",
                    wait.as_secs_f64()
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
    duration: |config| config.wait,
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Scrapes of a timeline: one per character of its drawing.
const SCRAPES: u32 = 60;
/// Minimum interval between two scrapes.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let wait = lab.wait;
    let pause = Duration::from_millis(500).min(wait / 4);
    lab.show_step("all servers at once: /, then /dummy");
    let servers = lab.servers.iter();
    let observed = servers.map(|server| observe(lab, *server, wait, pause));
    let observed = future::try_join_all(observed).await?;
    for (server, (pair, timeline)) in lab.servers.iter().zip(observed) {
        let setting = lab.setting(*server, Via::Front, pair.threads, wait, load(pause));
        match server.flavor() {
            Flavor::Sync => {
                judge_sync_dummy(run, &setting, *server, &pair, wait - pause);
                judge_blocked(run, &setting, &pair, wait);
            }
            Flavor::Async => judge_async(run, &setting, &pair, wait, pause),
        }
        run.timelines.push(timeline);
    }
    Ok(())
}

fn load(pause: Duration) -> String {
    format!("/, after {:.2} s /dummy", pause.as_secs_f64())
}

fn judge_sync_dummy(
    run: &mut Run,
    setting: &Setting,
    server: LabServer,
    pair: &Pair,
    rest: Duration,
) {
    const QUANTITY: &str = "latency of /dummy";
    let prediction = if server.has_spare_threads() {
        Prediction::at_most(
            QUANTITY,
            Unit::Seconds,
            at_once(rest),
            "another of its threads is free; the limit is 0.5 s or a quarter of the wait for /, whichever is lower",
        )
    } else {
        Prediction::about(
            QUANTITY,
            rest.as_secs_f64(),
            0.1,
            "the rest of the wait of /; tolerance 10 % and 0.3 s for a busy machine",
        )
    };
    run.judge(setting, prediction, pair.dummy.seconds());
}

fn judge_blocked(run: &mut Run, setting: &Setting, pair: &Pair, wait: Duration) {
    run.judge_state(
        setting,
        Prediction::about(
            "threads blocked",
            wait.as_secs_f64(),
            0.1,
            "the thread is held, off CPU, for as long as / waits; same tolerance",
        ),
        pair.spent.blocked,
        &pair.spent,
    );
}

fn judge_async(run: &mut Run, setting: &Setting, pair: &Pair, wait: Duration, pause: Duration) {
    let seconds = wait.as_secs_f64();
    run.judge(
        setting,
        Prediction::at_most(
            "latency of /dummy",
            Unit::Seconds,
            at_once(wait - pause),
            "the thread is free; the limit is 0.5 s or a quarter of the wait for /, whichever is lower",
        ),
        pair.dummy.seconds(),
    );
    run.judge_state(
        setting,
        // An event loop that wakes up during the wait, as uvicorn's does for its timers, may have to wait for a CPU.
        Prediction::between(
            "threads awaiting",
            Unit::Seconds,
            seconds * 0.9 - pair.spent.runnable,
            seconds * 1.1 + 0.3,
            "the event loop is parked with one request in flight for as long as / waits, less its wait for a CPU; \
             tolerance 10 % and 0.3 s for a busy machine",
        ),
        pair.spent.awaiting,
        &pair.spent,
    );
}

/// Sends the pair of requests and records the timeline meanwhile.
async fn observe(
    lab: &LabClient,
    server: LabServer,
    wait: Duration,
    pause: Duration,
) -> Result<(Pair, Timeline), Error> {
    let path = format!("/?seconds={}", wait.as_secs_f64());
    let mut recording = StateRecording::begin(lab, server).await?;
    let start = recording.start;
    let pair = Box::pin(pair::send(lab, server, &path, pause));
    let pair = match future::select(pair, Box::pin(recording.record(wait))).await {
        Either::Left((pair, _)) => pair?,
        Either::Right((Err(error), _)) => return Err(error),
        Either::Right((Ok(never), _)) => match never {},
    };
    let timeline = Timeline {
        server: server.as_str(),
        seconds: recording.append().await?,
        requests: vec![
            bar("/", start, &pair.long),
            bar("/dummy", start, &pair.dummy),
        ],
        threads: recording.slices,
    };
    Ok((pair, timeline))
}

/// Thread states of a server since the start of its timeline.
struct StateRecording<'a> {
    lab: &'a LabClient,
    server: LabServer,
    start: Instant,
    last: StateSeconds,
    slices: Vec<StateSlice>,
}

impl<'a> StateRecording<'a> {
    async fn begin(lab: &'a LabClient, server: LabServer) -> Result<Self, Error> {
        let last = lab.scrape().await?.states(server);
        Ok(Self {
            lab,
            server,
            // After the scrape: what it has shown is no part of the first slice.
            start: Instant::now(),
            last,
            slices: Vec::new(),
        })
    }

    /// Scrapes the thread states at regular intervals.
    async fn record(&mut self, wait: Duration) -> Result<Infallible, Error> {
        loop {
            sleep((wait / SCRAPES).max(SHORTEST_INTERVAL)).await;
            self.append().await?;
        }
    }

    /// Appends what the threads have done since the last scrape. Returns the end of that, counted from the start.
    async fn append(&mut self) -> Result<f64, Error> {
        let states = self.lab.scrape().await?.states(self.server);
        let until = self.start.elapsed().as_secs_f64();
        StateSlice::append(&mut self.slices, until, &states.since(&self.last));
        self.last = states;
        Ok(until)
    }
}

fn bar(path: &str, start: Instant, attempt: &Attempt) -> RequestBar {
    let timing = attempt
        .result
        .as_ref()
        .map_or_else(|_| Default::default(), |response| response.timing);
    RequestBar {
        path: path.to_owned(),
        latency_seconds: attempt.seconds(),
        at_seconds: attempt
            .intended
            .saturating_duration_since(start)
            .as_secs_f64(),
        queued_seconds: timing.queue.as_secs_f64(),
        held_seconds: timing.held.as_secs_f64(),
        awaited_seconds: timing.awaited.as_secs_f64(),
    }
}
