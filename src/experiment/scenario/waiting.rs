//! Thousands of requests that wait on one thread.

use std::time::{Duration, Instant};

use futures_util::future::{self, Either};
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use rustix::process::{Resource, getrlimit};

use super::Experiment;
use crate::experiment::lab::{Exchange, Lab, Via};
use crate::experiment::load::{self, Load};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::{Error, Schedule, Scrape, Server};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "waiting",
    question: "How many can one thread keep waiting?",
    model: "To an event loop a waiting request is some buffers, a task and a timer, and costs no time. So /dummy is \
            answered at once beside thousands, and memory grows by the same amount for each. A thread for each would \
            have a stack for each.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Waiting requests at the highest level, for each second of the article's wait: 10,000 for 20 s.
const PER_SECOND: f64 = 500.0;
/// The highest level in hundredths: 1,000, 5,000 and 10,000.
const LEVELS: [u64; 3] = [10, 50, 100];
/// How long they ask to wait: longer than the experiment lasts. In the end they are given up.
const WAIT: Duration = Duration::from_secs(300);
/// How fast the crowd grows, in requests a second.
const GROWTH: f64 = 1000.0;
/// `/dummy` a second meanwhile.
const RATE: f64 = 50.0;
/// Files that each process has open for other things.
const OTHER_FILES: u64 = 300;
/// What a request that waits may cost: buffers and a task, and in a lab of one process the front's
/// two connections.
const MAX_BYTES: f64 = 128.0 * 1024.0;

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let length = (lab.wait / 8).clamp(Duration::from_secs(1), Duration::from_millis(2500));
    let before = lab.scrape().await?;
    let (most, via) = most(lab, run, &before)?;
    let path = format!("/?seconds={}", WAIT.as_secs());
    let mut crowd = FuturesUnordered::new();
    for level in LEVELS.map(|share| most * share / 100) {
        lab.say(&format!("async: {level} requests wait"));
        let start = Instant::now();
        for i in 0..level.saturating_sub(crowd.len() as u64) {
            let at = Duration::from_secs_f64(i as f64 / GROWTH);
            crowd.push(lab.get_at(Server::Async, via, &path, start + at));
        }
        let grown = Box::pin(grow(lab, level, start));
        beside(&mut crowd, grown).await?;
        let states = lab.scrape().await?;
        let schedule = Schedule::poisson(RATE, length);
        let dummies = load::run(lab, (Server::Async, via), "/dummy", &schedule, length);
        let dummies = beside(&mut crowd, Box::pin(dummies)).await;
        let after = lab.scrape().await?;
        let load = format!("{level} wait, {RATE:.0}/s /dummy");
        let threads = after.threads(Server::Async);
        let setting = lab.setting(Server::Async, via, threads, WAIT, load);
        judge(
            run,
            &setting,
            level,
            length,
            &dummies,
            [&before, &states, &after],
        );
    }
    Ok(())
}

/// The highest level and the way there, as far as files allow it: through the front if they do, or
/// else straight to the gateway, which takes fewer of them in a lab of one process.
fn most(lab: &Lab, run: &mut Run, scrape: &Scrape) -> Result<(u64, Via), Error> {
    let wanted = (PER_SECOND * lab.wait.as_secs_f64()).clamp(500.0, 10_000.0) as u64;
    let own = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if own < wanted + OTHER_FILES {
        return Err(Error::TooFewFiles {
            needed: wanted + OTHER_FILES,
            limit: own,
        });
    }
    let limit = scrape.process(Server::Async, "process_max_fds") as u64;
    let room = limit.saturating_sub(OTHER_FILES);
    // A lab of one process has the front's two ends of a request open beside the server's.
    if scrape.processes() > 1 || room >= 3 * wanted {
        return Ok((wanted.min(room), Via::Front));
    }
    run.notes.push(format!(
        "straight to the gateway: through the front, each request takes 3 of the {limit} files that the lab's process \
         may have open (`ulimit -n {}` before its start is enough)",
        3 * wanted + OTHER_FILES
    ));
    if room < wanted {
        run.notes.push(format!(
            "{room} requests instead of {wanted}, for the same reason"
        ));
    }
    Ok((wanted.min(room), Via::Direct))
}

/// Waits until the crowd is as large as it is to be, or has had the time for it twice.
async fn grow(lab: &Lab, level: u64, start: Instant) -> Result<(), Error> {
    let patience = Duration::from_secs(5) + Duration::from_secs_f64(2.0 * level as f64 / GROWTH);
    while start.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if lab.scrape().await?.in_flight(Server::Async) >= level as f64 {
            break;
        }
    }
    Ok(())
}

/// Lets the crowd wait while something else is done. Those that do not wait as they are to are
/// missing in flight.
async fn beside<T>(
    crowd: &mut (impl Stream<Item = Exchange> + Unpin),
    work: impl Future<Output = T> + Unpin,
) -> T {
    let waiting = crowd.for_each(|_| future::ready(()));
    match future::select(work, waiting).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}

fn judge(
    run: &mut Run,
    setting: &Setting,
    level: u64,
    length: Duration,
    dummies: &Load,
    scrapes: [&Scrape; 3],
) {
    let [before, states, after] = scrapes;
    let server = Server::Async;
    run.curves
        .push(dummies.curve(format!("/dummy beside {level} that wait")));
    let level = level as f64;
    run.judge(
        setting,
        Prediction::between(
            "requests in flight",
            Unit::Count,
            level,
            level + 5.0,
            "all of them wait at once, and a few /dummy may be under way",
        ),
        after.in_flight(server),
    );
    run.judge(
        setting,
        Prediction::at_most(
            "p99 of /dummy",
            Unit::Seconds,
            0.5,
            "the thread is free; 0.5 s for a busy machine, less than any one of these waits",
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
            "it waits for timers and works only for /dummy; half of the time at least",
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
            "buffers, a task and a timer, and the front's connections where it is in the way and in the same process: \
             tens of kilobytes, where a thread's stack alone has megabytes set aside",
        ),
        (resident(after) - resident(before)).max(0.0) / level,
    );
}
