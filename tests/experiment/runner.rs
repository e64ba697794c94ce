//! Runs `threadlab experiment` as a process.

use std::io::{self, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::lab::Lab;

/// Held while an experiment runs: experiments compare times, so only one may run on a machine with few CPUs.
static MACHINE: Mutex<()> = Mutex::new(());

pub(crate) fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Runs an experiment on a lab through `front`. A void run is repeated up to four times, because a machine that
/// runs other tests is often short of CPU time.
pub(crate) fn perform(lab: &Lab, front: &str, name: &str, seconds: &str) -> Found {
    for _ in 0..4 {
        let found = once(lab, front, name, seconds);
        if found.verdict() != "void" {
            return found;
        }
        print_repeat(name, &found);
    }
    once(lab, front, name, seconds)
}

/// Prints why an experiment is repeated, directly to stderr, because the test runner hides the output of tests that
/// pass.
pub(crate) fn print_repeat(name: &str, found: &Found) {
    let (verdict, notes) = (found.verdict(), &found.run["notes"]);
    let failed = found.failed_findings();
    let _ = writeln!(
        io::stderr(),
        "\nrepeating {name}, which was {verdict}: {notes:#}\n{failed:#?}"
    );
}

fn once(lab: &Lab, front: &str, name: &str, seconds: &str) -> Found {
    let output = command(lab, front, &[name, "--seconds", seconds]).output();
    Found::of(&output.unwrap())
}
