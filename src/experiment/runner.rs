//! Runs experiments one after the other and decides each verdict.

use std::rc::Rc;
use std::time::Instant;

use futures_util::future::{self, Either};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::config::RunConfig;
use super::error::Error;
use super::lab_client::LabClient;
use super::lab_server::LabServer;
use super::plural::plural;
use super::progress::Progress;
use super::report::{CpuWait, Generator, Report, Run, SCHEMA, Verdict};
use super::scenario::Experiment;
use super::scrape::Scrape;

/// Outcome of a call to [`run()`].
#[derive(Debug)]
pub struct Outcome {
    /// Results up to the end or the error.
    pub report: Report,
    /// True if a signal ended the call early.
    pub interrupted: bool,
    /// Error that ended the call early, if any.
    pub error: Option<Error>,
}

/// Runs experiments, and shows progress on stderr if it is a terminal. SIGINT and SIGTERM stop it; the
/// report then has the results up to that point.
///
/// # Errors
///
/// If the runner cannot start. Later errors are in [`Outcome`].
pub fn run(config: &RunConfig, experiments: &[&'static Experiment]) -> Result<Outcome, Error> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        front: config.addresses.front.clone(),
        seconds: config.wait.as_secs_f64(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        runs: Vec::new(),
    };
    let result = runtime.block_on(run_all(config, experiments, &mut report.runs));
    Ok(Outcome {
        report,
        interrupted: matches!(result, Ok(Ended::BySignal)),
        error: result.err(),
    })
}

/// End of a call without an error.
enum Ended {
    AfterAllRuns,
    BySignal,
}

async fn run_all(
    config: &RunConfig,
    experiments: &[&'static Experiment],
    runs: &mut Vec<Run>,
) -> Result<Ended, Error> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let planned = experiments
        .iter()
        .map(|experiment| (experiment.duration)(config));
    let progress = Rc::new(Progress::new(planned.collect()));
    let all = async {
        let lab = LabClient::connect(config, Rc::clone(&progress)).await?;
        for experiment in experiments {
            progress.begin(experiment.name);
            // An error up to here leaves no run in the report.
            let before = prepare(&lab).await?;
            runs.push(unfinished(experiment));
            if let Some(run) = runs.last_mut() {
                match run_one(&lab, experiment, run, before).await {
                    Err(Error::NotHere(reason)) => run.conclude(Verdict::NotHere, reason),
                    result => result?,
                }
            }
            progress.end();
        }
        Ok(Ended::AfterAllRuns)
    };
    // A run that a signal cuts off keeps its initial verdict, interrupted.
    let result = tokio::select! {
        result = all => result,
        _ = interrupt.recv() => Ok(Ended::BySignal),
        _ = terminate.recv() => Ok(Ended::BySignal),
    };
    progress.clear();
    result
}

fn unfinished(experiment: &Experiment) -> Run {
    Run {
        name: experiment.name,
        question: experiment.question,
        model: experiment.model,
        verdict: Verdict::Interrupted,
        reason: None,
        cpu_wait: CpuWait::default(),
        notes: Vec::new(),
        findings: Vec::new(),
        timelines: Vec::new(),
        curves: Vec::new(),
        tables: Vec::new(),
        generator: Generator::default(),
        took_seconds: 0.0,
    }
}

/// Waits until the lab is idle and warms it up. Returns the scrape after that.
async fn prepare(lab: &LabClient) -> Result<Scrape, Error> {
    lab.show_step("waiting until the lab is idle");
    let idle = lab.wait_for_leftovers().await?;
    lab.warm_up().await?;
    let before = lab.wait_until_quiet().await?;
    lab.check_counted(&idle, &before)?;
    Ok(before)
}

async fn run_one(
    lab: &LabClient,
    experiment: &Experiment,
    run: &mut Run,
    before: Scrape,
) -> Result<(), Error> {
    lab.reset_sent();
    let started = Instant::now();
    let perform = (experiment.perform)(lab, run);
    // Both never end.
    let beside = future::join(lab.announce(experiment.name), lab.show_progress());
    match future::select(perform, Box::pin(beside)).await {
        Either::Left((result, _)) => result?,
        Either::Right(((never, _), _)) => match never {},
    }
    run.took_seconds = started.elapsed().as_secs_f64();
    run.generator = lab.generator();
    let after = lab.scrape().await?;
    let waited = lab
        .all_servers()
        .map(|server| (server, runnable(server, &before, &after)));
    run.cpu_wait = CpuWait(waited.collect());
    run.verdict = run.verdict_of_findings();
    if run.verdict == Verdict::Contradicted
        && let Err(unreachable) = lab.check_front().await
    {
        // The front disappeared during the run, which would explain any contradiction.
        run.verdict = Verdict::Interrupted;
        return Err(unreachable);
    }
    let fault = run.generator.fault();
    let fault = fault.or_else(|| shared(lab, run, &before, &after));
    if let Some(fault) = fault.or_else(|| starved(run)) {
        run.conclude(Verdict::Void, fault);
    }
    Ok(())
}

/// Returns a reason to void the run if others used the lab during it.
fn shared(lab: &LabClient, run: &Run, before: &Scrape, after: &Scrape) -> Option<String> {
    let foreign = lab.foreign_requests(before, after);
    // One request may have ended just before the first scrape and been counted just after it.
    let tolerated = 1.0 + run.generator.requests as f64 / 100.0;
    (foreign > tolerated).then(|| {
        format!(
            "someone else used the lab: the servers finished {} that this experiment did not send",
            plural(foreign, "request")
        )
    })
}

/// A contradiction is void if a server's threads were runnable for more than this share of the run.
const STARVED: f64 = 0.05;

/// Returns the time for which the threads of a server waited for a CPU between two scrapes.
fn runnable(server: LabServer, before: &Scrape, after: &Scrape) -> f64 {
    let waited = after.states(server).since(&before.states(server)).runnable;
    // The counters of a replica that was restarted in between begin at 0 again.
    waited.max(0.0)
}

/// Returns a reason to void a contradicted run if a server's threads were short of CPU time during it.
fn starved(run: &Run) -> Option<String> {
    if run.verdict != Verdict::Contradicted {
        return None;
    }
    let (server, waited) = run
        .cpu_wait
        .0
        .iter()
        .find(|(_, waited)| *waited > STARVED * run.took_seconds)?;
    Some(format!(
        "the machine is too busy: the {server} threads waited for a CPU for {waited:.2} s of {:.1} s; the limit is {:.0} %",
        run.took_seconds,
        STARVED * 100.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contradiction_is_void_if_the_servers_were_short_of_cpu_time() {
        let mut run = unfinished(&crate::experiment::ALL[0]);
        run.took_seconds = 10.0;
        run.verdict = Verdict::Contradicted;
        run.cpu_wait = CpuWait(vec![(LabServer::Sync, 0.4), (LabServer::Flask, 0.1)]);
        assert!(starved(&run).is_none());
        run.cpu_wait.0[1].1 = 0.6;
        let fault = starved(&run).unwrap();
        assert!(
            fault.contains("flask threads waited for a CPU for 0.60 s of 10.0 s"),
            "{fault}"
        );
        run.verdict = Verdict::Confirmed;
        assert!(starved(&run).is_none());
    }

    #[test]
    fn the_wait_for_a_cpu_is_the_time_in_the_state_runnable() {
        let scrape = |seconds: f64| {
            let mut scrape = Scrape::default();
            scrape.add(&format!(
                "thread_state_seconds_total{{server=\"sync\",thread=\"0\",state=\"runnable\"}} {seconds}\n"
            ));
            scrape
        };
        let waited = runnable(LabServer::Sync, &scrape(1.0), &scrape(1.6));
        assert!((waited - 0.6).abs() < 1e-9, "{waited}");
    }
}
