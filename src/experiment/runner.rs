//! Runs experiments one after the other and decides each verdict.

use std::time::{Duration, Instant};

use futures_util::future::{self, Either};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::lab_client::LabClient;
use super::plural::plural;
use super::report::{Generator, Report, Run, SCHEMA, Verdict};
use super::{Error, Experiment, RunConfig, Scrape};
use crate::flavor::Flavor;

/// Outcome of a call to [`run()`].
#[derive(Debug)]
pub struct Outcome {
    /// Results up to the end or the error.
    pub report: Report,
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
        error: result.err(),
    })
}

async fn run_all(
    config: &RunConfig,
    experiments: &[&'static Experiment],
    runs: &mut Vec<Run>,
) -> Result<(), Error> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let progress = progress_bar(experiments.len());
    let all = async {
        let lab =
            LabClient::connect(config.addresses.clone(), config.wait, progress.clone()).await?;
        for experiment in experiments {
            progress.set_prefix(experiment.name);
            runs.push(unfinished(experiment));
            if let Some(run) = runs.last_mut() {
                match run_one(&lab, experiment, run).await {
                    Err(Error::NotHere(reason)) => {
                        run.verdict = Verdict::NotHere;
                        run.notes.push(reason);
                    }
                    result => result?,
                }
            }
            progress.inc(1);
        }
        Ok(())
    };
    // A run that a signal cuts off keeps its initial verdict, interrupted.
    let result = tokio::select! {
        result = all => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    progress.finish_and_clear();
    result
}

fn unfinished(experiment: &Experiment) -> Run {
    Run {
        name: experiment.name,
        question: experiment.question,
        model: experiment.model,
        verdict: Verdict::Interrupted,
        notes: Vec::new(),
        findings: Vec::new(),
        timelines: Vec::new(),
        curves: Vec::new(),
        generator: Generator::default(),
        took_seconds: 0.0,
    }
}

async fn run_one(lab: &LabClient, experiment: &Experiment, run: &mut Run) -> Result<(), Error> {
    lab.show_step("waiting for the lab to be idle");
    lab.wait_until_quiet().await?;
    lab.warm_up().await?;
    let before = lab.wait_until_quiet().await?;
    lab.reset_sent();
    let started = Instant::now();
    let announce = Box::pin(lab.announce(experiment.name));
    match future::select((experiment.perform)(lab, run), announce).await {
        Either::Left((result, _)) => result?,
        Either::Right((never, _)) => match never {},
    }
    run.took_seconds = started.elapsed().as_secs_f64();
    run.generator = lab.generator();
    let after = lab.scrape().await?;
    run.verdict = run.verdict_of_findings();
    if run.verdict == Verdict::Contradicted
        && let Err(gone) = lab.check_front().await
    {
        // The front disappeared during the run, which would explain any contradiction.
        run.verdict = Verdict::Interrupted;
        return Err(gone);
    }
    let fault = run.generator.fault();
    let fault = fault.or_else(|| shared(lab, run, &before, &after));
    if let Some(fault) = fault.or_else(|| starved(run, &before, &after)) {
        run.notes.push(fault);
        run.verdict = Verdict::Void;
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

/// Returns a reason to void a contradicted run if a server's threads were short of CPU time during it.
fn starved(run: &Run, before: &Scrape, after: &Scrape) -> Option<String> {
    if run.verdict != Verdict::Contradicted {
        return None;
    }
    let waited = |server| after.states(server).since(&before.states(server)).runnable;
    let server = Flavor::ALL
        .into_iter()
        .find(|server| waited(*server) > STARVED * run.took_seconds)?;
    Some(format!(
        "the machine is too busy: the {server} threads waited for a CPU for {:.2} s of {:.1} s; the limit is {:.0} %",
        waited(server),
        run.took_seconds,
        STARVED * 100.0
    ))
}

/// Returns the progress bar, which is hidden if stderr is not a terminal.
fn progress_bar(experiments: usize) -> ProgressBar {
    let bar = ProgressBar::new(experiments as u64);
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} {elapsed} {prefix}: {wide_msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runnable_for(seconds: f64) -> Scrape {
        let mut scrape = Scrape::default();
        scrape.add(&format!(
            "thread_state_seconds_total{{server=\"sync\",thread=\"0\",state=\"runnable\"}} {seconds}\n"
        ));
        scrape
    }

    #[test]
    fn a_contradiction_is_void_if_the_servers_were_short_of_cpu_time() {
        let mut run = unfinished(&crate::experiment::ALL[0]);
        run.took_seconds = 10.0;
        run.verdict = Verdict::Contradicted;
        assert!(starved(&run, &runnable_for(1.0), &runnable_for(1.4)).is_none());
        let fault = starved(&run, &runnable_for(1.0), &runnable_for(1.6)).unwrap();
        assert!(
            fault.contains("sync threads waited for a CPU for 0.60 s of 10.0 s"),
            "{fault}"
        );
        run.verdict = Verdict::Confirmed;
        assert!(starved(&run, &runnable_for(1.0), &runnable_for(1.6)).is_none());
    }
}
