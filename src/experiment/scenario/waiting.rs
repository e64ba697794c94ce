//! Thousands of requests waiting on one thread.

use std::time::{Duration, Instant};

use futures_util::future;
use futures_util::stream::FuturesUnordered;
use rustix::process::{Resource, getrlimit};

use super::crowd::beside;
use super::definition::{Experiment, GuessQuestion};
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::load::{self, LoadResult};
use crate::experiment::plural::plural;
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::schedule::Schedule;
use crate::experiment::scrape::Scrape;
use crate::experiment::waits::short_wait;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "waiting",
    question: "How many waiting requests can one thread hold?",
    model: "To an event loop a waiting request is a few buffers, a task and a timer; it takes no CPU time. So /dummy is \
            served at once beside thousands of them, and memory grows by the same amount for each. With a thread per \
            request, each takes a thread with its stack: N synchronous threads hold N requests, and all others wait in \
            the accept queue.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "latency of /dummy",
            conditions: "",
            text: |wait| {
                format!(
                    "A synchronous server has twice as many requests as threads, and each waits {:.1} s. After how many seconds does it respond to /dummy, sent after them?",
                    short_wait(wait).as_secs_f64()
                )
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "p99 of /dummy",
            conditions: "",
            text: |wait| {
                format!(
                    "{} requests wait on one event loop. What is the 99th percentile of the latency of /dummy, in seconds?",
                    wanted(wait)
                )
            },
        },
    ],
    duration: |config| {
        let wait = config.wait;
        let level = wanted(wait) as f64 / GROWTH;
        let asynchronous = Duration::from_secs_f64(level) + load_length(wait) * 3;
        short_wait(wait) * 2 + asynchronous + Duration::from_secs(1)
    },
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Waiting requests at the highest level per second of the article's wait: 10,000 for 20 s.
const PER_SECOND: f64 = 500.0;
/// Levels in percent of the highest: 1,000, 5,000 and 10,000.
const LEVELS: [u64; 3] = [10, 50, 100];
/// Requested wait, longer than the experiment. At the end the requests are abandoned.
const WAIT: Duration = Duration::from_secs(300);
/// Rate at which the waiting requests are sent, per second.
const GROWTH: f64 = 1000.0;
/// Rate of `/dummy` meanwhile, per second.
const RATE: f64 = 50.0;
/// Open files of each process for other purposes.
const OTHER_FILES: u64 = 300;
/// Maximum memory of a waiting request: buffers and a task, and in a lab of one process the front's two
/// connections.
const MAX_BYTES: f64 = 128.0 * 1024.0;

/// Returns the number of requests at the highest level, if files allow.
fn wanted(wait: Duration) -> u64 {
    (PER_SECOND * wait.as_secs_f64()).clamp(500.0, 10_000.0) as u64
}

/// Returns the length of the load of `/dummy` at each level.
fn load_length(wait: Duration) -> Duration {
    (wait / 8).clamp(Duration::from_secs(1), Duration::from_millis(2500))
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    fill_threads(lab, run).await?;
    fill_event_loop(lab, run).await
}

/// Requests beyond the number of threads, at most: fewer than the default length of the accept queue.
const MOST_QUEUED: usize = 500;

/// Sends twice as many requests to the synchronous server as it has threads, then `/dummy`.
async fn fill_threads(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let server = Flavor::Sync;
    let before = lab.scrape().await?;
    let threads = before.threads(server);
    let queued = threads.min(MOST_QUEUED);
    let requests = threads + queued;
    let growth = |i: usize| Duration::from_secs_f64(i as f64 / GROWTH);
    // Long enough that all have arrived before the first one ends.
    let wait = short_wait(lab.wait).max(growth(requests) * 2);
    lab.show_step(&format!(
        "sync: {} on {}",
        plural(requests, "request"),
        plural(threads, "thread")
    ));
    let path = format!("/?seconds={}", wait.as_secs_f64());
    let start = Instant::now();
    let crowd = (0..requests).map(|i| lab.get_at(server, Via::Front, &path, start + growth(i)));
    let crowd = future::join_all(crowd);
    // All have arrived, and none has ended.
    let pause = growth(requests) + wait / 3;
    let beside = async {
        tokio::time::sleep(pause).await;
        let scrape = lab.scrape().await?;
        let sent = Instant::now();
        let dummy = lab.get_at(server, Via::Front, "/dummy", sent).await;
        Ok::<_, Error>((scrape, sent - start, dummy))
    };
    let (crowd, beside) = future::join(crowd, beside).await;
    let (full, sent, dummy) = beside?;
    let succeeded = crowd.iter().filter(|attempt| attempt.succeeded()).count();
    let load = format!("{} waiting, then /dummy", plural(requests, "request"));
    let setting = lab.setting(server, Via::Front, threads, wait, load);
    let (threads, queued) = (threads as f64, queued as f64);
    run.judge(
        &setting,
        Prediction::between(
            "requests in flight",
            Unit::Count,
            threads,
            threads,
            "one per thread: each thread holds one request",
        ),
        full.in_flight(server),
    );
    run.judge(
        &setting,
        Prediction::between(
            "queued requests",
            Unit::Count,
            queued,
            queued,
            "the requests that no thread has taken",
        ),
        full.queued(server),
    );
    // Threads that have finished serve the queue, and /dummy after it.
    let rounds = if queued < threads { 1 } else { 2 };
    let rest = (wait * rounds).saturating_sub(sent).as_secs_f64();
    run.judge(
        &setting,
        Prediction::between(
            "latency of /dummy",
            Unit::Seconds,
            rest * 0.8,
            rest * 1.2 + 0.5 + growth(requests).as_secs_f64(),
            "/dummy is last in the queue and waits until a thread is free; tolerance 20 % and 0.5 s, plus the time over \
             which the requests were sent",
        ),
        dummy.seconds(),
    );
    run.judge(
        &setting,
        Prediction::between(
            "successful requests",
            Unit::Count,
            requests as f64,
            requests as f64,
            "all: those in the queue are late, not lost",
        ),
        succeeded as f64,
    );
    lab.wait_until_quiet().await.map(drop)
}

async fn fill_event_loop(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let length = load_length(lab.wait);
    let before = lab.scrape().await?;
    let first_row = run.findings.len() + 1;
    let (most, via, notes) = highest_level(lab, &before)?;
    let path = format!("/?seconds={}", WAIT.as_secs());
    let mut crowd = FuturesUnordered::new();
    for level in LEVELS.map(|share| most * share / 100) {
        lab.show_step(&format!("async: {level} requests wait"));
        let start = Instant::now();
        for i in 0..level.saturating_sub(crowd.len() as u64) {
            let at = Duration::from_secs_f64(i as f64 / GROWTH);
            crowd.push(lab.get_at(Flavor::Async, via, &path, start + at));
        }
        let grown = Box::pin(grow(lab, level, start));
        beside(&mut crowd, grown).await?;
        let states = lab.scrape().await?;
        let schedule = Schedule::poisson(RATE, length);
        let dummies = load::run(lab, (Flavor::Async, via), "/dummy", &schedule, length);
        let dummies = beside(&mut crowd, Box::pin(dummies)).await;
        let after = lab.scrape().await?;
        let load = format!("{level} waiting, {RATE:.0}/s /dummy");
        let threads = after.threads(Flavor::Async);
        let setting = lab.setting(Flavor::Async, via, threads, WAIT, load);
        judge(
            run,
            &setting,
            level,
            length,
            &dummies,
            [&before, &states, &after],
        );
    }
    for note in notes {
        run.note_rows(first_row, note);
    }
    Ok(())
}

/// Returns the highest level and the route that the limits of open files allow: through the front if possible,
/// else directly to the server, which takes fewer files in a lab of one process. The notes say what is different from
/// the plan.
fn highest_level(lab: &LabClient, scrape: &Scrape) -> Result<(u64, Via, Vec<String>), Error> {
    let wanted = wanted(lab.wait);
    let own = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if own < wanted + OTHER_FILES {
        return Err(Error::TooFewFiles {
            needed: wanted + OTHER_FILES,
            limit: own,
        });
    }
    let limit = scrape.process(Flavor::Async, "process_max_fds") as u64;
    let room = limit.saturating_sub(OTHER_FILES);
    // In a lab of one process, each request also has two connections of the front open.
    if scrape.processes() > 1 || room >= 3 * wanted {
        return Ok((wanted.min(room), Via::Front, Vec::new()));
    }
    let mut notes = vec![format!(
        "requests go directly to the server: through the front, each takes 3 of the {limit} files that the lab's \
         process may have open (start the lab after `ulimit -n {}` to change that)",
        3 * wanted + OTHER_FILES
    )];
    if room < wanted {
        notes.push(format!(
            "{} instead of {wanted}, for the same reason",
            plural(room, "request")
        ));
    }
    Ok((wanted.min(room), Via::Direct, notes))
}

/// Waits until `level` requests are in flight, at most about twice as long as sending them takes.
async fn grow(lab: &LabClient, level: u64, start: Instant) -> Result<(), Error> {
    let deadline = Duration::from_secs(5) + Duration::from_secs_f64(2.0 * level as f64 / GROWTH);
    while start.elapsed() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if lab.scrape().await?.in_flight(Flavor::Async) >= level as f64 {
            break;
        }
    }
    Ok(())
}

fn judge(
    run: &mut Run,
    setting: &Setting,
    level: u64,
    length: Duration,
    dummies: &LoadResult,
    scrapes: [&Scrape; 3],
) {
    let [before, states, after] = scrapes;
    let server = Flavor::Async;
    run.curves
        .push(dummies.curve(server, format!("/dummy beside {level} waiting requests")));
    let level = level as f64;
    run.judge(
        setting,
        Prediction::between(
            "requests in flight",
            Unit::Count,
            level,
            level + 5.0,
            "all of them wait at the same time, and a few /dummy may be in flight",
        ),
        after.in_flight(server),
    );
    run.judge(
        setting,
        Prediction::at_most(
            "p99 of /dummy",
            Unit::Seconds,
            0.5,
            "the thread is free; the limit of 0.5 s is for a busy machine",
        ),
        dummies.latency(0.99),
    );
    let spent = after.states(server).since(&states.states(server));
    run.judge_state(
        setting,
        Prediction::at_least(
            "thread awaiting",
            Unit::Seconds,
            length.as_secs_f64() * 0.5,
            "the thread only serves /dummy and waits for timers; at least half of the time",
        ),
        spent.awaiting,
        &spent,
    );
    let resident = |scrape: &Scrape| scrape.process(server, "process_resident_memory_bytes");
    run.judge(
        setting,
        Prediction::at_most(
            "memory per waiting request",
            Unit::Bytes,
            MAX_BYTES,
            "buffers, a task and a timer, plus the front's connections if the front is part of the same process: tens \
             of kilobytes",
        ),
        (resident(after) - resident(before)).max(0.0) / level,
    );
}
