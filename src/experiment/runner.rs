//! Runs experiments one after the other.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::lab::Lab;
use super::report::{Generator, Report, Run, SCHEMA, Verdict};
use super::{Error, Experiment, Settings};

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
                perform(&lab, experiment, run).await?;
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
    (experiment.perform)(lab, run).await?;
    run.took_seconds = started.elapsed().as_secs_f64();
    run.generator = lab.generator();
    let strangers = lab.strangers(&before, &lab.scrape().await?);
    // One may have ended just before the first scrape and be counted just after it.
    let bearable = 1.0 + run.generator.requests as f64 / 100.0;
    let foreign = (strangers > bearable).then(|| {
        format!("the servers finished {strangers} requests that were not of this experiment: someone else uses the lab")
    });
    run.verdict = run.found();
    if let Some(fault) = run.generator.fault().or(foreign) {
        run.notes.push(fault);
        run.verdict = Verdict::Void;
    }
    Ok(())
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
