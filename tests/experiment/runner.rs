//! Runs `threadlab experiment` as a process.

use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::lab::Lab;
use crate::quiet;

/// Runs a test of an experiment. Experiments compare times, so only one runs at a time, and it needs a quiet machine.
pub(crate) fn measured(test: impl Fn()) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    quiet::on_quiet_machine(test);
}

/// Returns the command that runs experiments on a lab through `front`.
pub(crate) fn command(lab: &Lab, front: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadlab"));
    command
        .arg("experiment")
        .args(arguments)
        .args(["--url", &format!("http://{front}")])
        .args(["--metrics", &lab.metrics])
        .args(["--sync", &lab.sync, "--async", &lab.r#async])
        .env("THREADLAB_FORMAT", "json");
    command
}

pub(crate) fn spawn(mut command: Command) -> Child {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().unwrap()
}

/// Exit status and first run of a report.
pub(crate) struct Found {
    pub(crate) code: Option<i32>,
    pub(crate) run: Value,
}

impl Found {
    pub(crate) fn of(output: &Output) -> Self {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let run = report["runs"][0].clone();
        assert!(
            run.is_object(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self {
            code: output.status.code(),
            run,
        }
    }

    pub(crate) fn verdict(&self) -> &str {
        self.run["verdict"].as_str().unwrap()
    }

    /// Returns the findings that are not as predicted.
    pub(crate) fn failed_findings(&self) -> Vec<&Value> {
        let findings = self.run["findings"].as_array().unwrap().iter();
        findings
            .filter(|finding| finding["holds"] == false)
            .collect()
    }
}

/// Runs an experiment on a lab through `front`. A void run is repeated up to four times, because the machine may have
/// been busy for a moment; but only once on a machine that stays busy.
pub(crate) fn perform(lab: &Lab, front: &str, name: &str, seconds: &str) -> Found {
    for attempt in 1..=4 {
        let found = once(lab, front, name, seconds);
        if found.verdict() != "void" || attempt > 1 && !quiet::becomes_quiet() {
            return found;
        }
        report_repeat(name, &found);
    }
    once(lab, front, name, seconds)
}

/// Reports why an experiment is repeated.
pub(crate) fn report_repeat(name: &str, found: &Found) {
    let (verdict, notes) = (found.verdict(), &found.run["notes"]);
    let failed = found.failed_findings();
    let failed: Vec<_> = failed.iter().map(|finding| &finding["quantity"]).collect();
    quiet::repeated(format!(
        "{name} was {verdict}: {notes}; not as predicted: {failed:?}"
    ));
}

fn once(lab: &Lab, front: &str, name: &str, seconds: &str) -> Found {
    let output = command(lab, front, &[name, "--seconds", seconds]).output();
    Found::of(&output.unwrap())
}
