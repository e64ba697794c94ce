//! The runner as a process.

use std::io::{self, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::lab::Lab;

/// One experiment at a time: they compare times, and the machine may have two CPUs only.
static MACHINE: Mutex<()> = Mutex::new(());

pub(crate) fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The runner, asked for an experiment on a lab.
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

/// What the runner found out about one experiment.
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

    /// The findings that are not as predicted, for a person.
    pub(crate) fn surprises(&self) -> Vec<&Value> {
        let findings = self.run["findings"].as_array().unwrap().iter();
        findings
            .filter(|finding| finding["holds"] == false)
            .collect()
    }
}

/// Performs an experiment on a lab through `front`. A void run is no result: it is
/// repeated, four times at most, because a machine that runs other tests is often short of CPUs.
pub(crate) fn perform(lab: &Lab, front: &str, name: &str, seconds: &str) -> Found {
    for _ in 0..4 {
        let found = once(lab, front, name, seconds);
        if found.verdict() != "void" {
            return found;
        }
        say_again(name, &found);
    }
    once(lab, front, name, seconds)
}

/// Says why an experiment is repeated, past the test runner, which shows only what failing tests
/// print.
pub(crate) fn say_again(name: &str, found: &Found) {
    let (verdict, notes) = (found.verdict(), &found.run["notes"]);
    let surprises = found.surprises();
    let _ = writeln!(
        io::stderr(),
        "\n{name} again, because it was {verdict}: {notes:#}\n{surprises:#?}"
    );
}

fn once(lab: &Lab, front: &str, name: &str, seconds: &str) -> Found {
    let output = command(lab, front, &[name, "--seconds", seconds]).output();
    Found::of(&output.unwrap())
}
