//! Runs experiments one after the other.

use std::time::{Duration, Instant};

use futures_util::future::{self, Either};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::lab::Lab;
use super::report::{Generator, Report, Run, SCHEMA, Verdict};
use super::{Error, Experiment, Scrape, Server, Settings};

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    /// What was found till then.
    pub report: Report,
    /// What ended it early, if something did.
    pub error: Option<Error>,
}

/// Performs experiments, with progress on a terminal's stderr. SIGINT and SIGTERM end it; the
/// report then has what was measured till then.
///
/// # Errors
///
/// If the runner itself cannot start. What goes wrong later is in [`Ended`].
pub fn run(settings: &Settings, experiments: &[&'static Experiment]) -> Result<Ended, Error> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        front: settings.target.front.clone(),
        seconds: settings.wait.as_secs_f64(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        runs: Vec::new(),
    };
    let performed = runtime.block_on(perform_all(settings, experiments, &mut report.runs));
    Ok(Ended {
        report,
        error: performed.err(),
    })
}

async fn perform_all(
    settings: &Settings,
    experiments: &[&'static Experiment],
    runs: &mut Vec<Run>,
) -> Result<(), Error> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let progress = progress(experiments.len());
    let perform = async {
        let lab = Lab::find(settings.target.clone(), settings.wait, progress.clone()).await?;
        for experiment in experiments {
            progress.set_prefix(experiment.name);
            runs.push(blank(experiment));
            if let Some(run) = runs.last_mut() {
                match perform(&lab, experiment, run).await {
                    Err(Error::NotHere(why)) => {
                        run.verdict = Verdict::NotHere;
                        run.notes.push(why);
                    }
                    performed => performed?,
                }
            }
            progress.inc(1);
        }
        Ok(())
    };
    // A run that is not concluded stays as it began: interrupted.
    let performed = tokio::select! {
        performed = perform => performed,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    progress.finish_and_clear();
    performed
}

fn blank(experiment: &Experiment) -> Run {
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

async fn perform(lab: &Lab, experiment: &Experiment, run: &mut Run) -> Result<(), Error> {
    lab.say("waiting until the lab is quiet");
    lab.quiet().await?;
    lab.warm_up().await?;
    let before = lab.quiet().await?;
    lab.begin();
    let started = Instant::now();
    let announced = Box::pin(lab.announce(experiment.name));
    match future::select((experiment.perform)(lab, run), announced).await {
        Either::Left((performed, _)) => performed?,
        Either::Right((never, _)) => match never {},
    }
    run.took_seconds = started.elapsed().as_secs_f64();
    run.generator = lab.generator();
    let after = lab.scrape().await?;
    let found = run.found();
    if found == Verdict::Contradicted {
        // Perhaps by a front that went away: then it is no verdict.
        lab.find_front().await?;
    }
    run.verdict = found;
    let fault = run.generator.fault();
    let fault = fault.or_else(|| foreign(lab, run, &before, &after));
    if let Some(fault) = fault.or_else(|| starved(run, &before, &after)) {
        run.notes.push(fault);
        run.verdict = Verdict::Void;
    }
    Ok(())
}

/// Why the lab was not ours alone, if so.
fn foreign(lab: &Lab, run: &Run, before: &Scrape, after: &Scrape) -> Option<String> {
    let strangers = lab.strangers(before, after);
    // One may have ended just before the first scrape and be counted just after it.
    let bearable = 1.0 + run.generator.requests as f64 / 100.0;
    (strangers > bearable).then(|| {
        format!("the servers finished {strangers} requests that were not of this experiment: someone else uses the lab")
    })
}

/// What is contradicted means nothing if a server waited for a CPU for more than this part of the
/// time.
const STARVED: f64 = 0.05;

/// Why the machine cannot contradict anything, if so: it had no CPU for a server.
fn starved(run: &Run, before: &Scrape, after: &Scrape) -> Option<String> {
    if run.verdict != Verdict::Contradicted {
        return None;
    }
    let waited = |server| after.states(server).since(&before.states(server)).runnable;
    let server = Server::BOTH
        .into_iter()
        .find(|server| waited(*server) > STARVED * run.took_seconds)?;
    Some(format!(
        "the machine is too busy: the threads of {server} waited {:.2} s of {:.1} s for a CPU; {:.0} % is allowed",
        waited(server),
        run.took_seconds,
        STARVED * 100.0
    ))
}

/// Hidden where stderr is no terminal.
fn progress(experiments: usize) -> ProgressBar {
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

    fn waited(seconds: f64) -> Scrape {
        let mut scrape = Scrape::default();
        scrape.add(&format!(
            "thread_state_seconds_total{{server=\"sync\",thread=\"0\",state=\"runnable\"}} {seconds}\n"
        ));
        scrape
    }

    #[test]
    fn a_machine_without_a_cpu_for_the_servers_contradicts_nothing() {
        let mut run = blank(&crate::experiment::ALL[0]);
        run.took_seconds = 10.0;
        run.verdict = Verdict::Contradicted;
        assert!(starved(&run, &waited(1.0), &waited(1.4)).is_none());
        let fault = starved(&run, &waited(1.0), &waited(1.6)).unwrap();
        assert!(fault.contains("sync waited 0.60 s of 10.0 s"), "{fault}");
        run.verdict = Verdict::Confirmed;
        assert!(starved(&run, &waited(1.0), &waited(1.6)).is_none());
    }
}
