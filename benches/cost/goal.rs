//! Goals: bounds of measured values.

use std::io::{self, Write};

/// The verdicts on the goals so far.
#[derive(Debug, Default)]
pub(crate) struct Goals {
    met: usize,
    /// A line about each missed goal.
    missed: Vec<String>,
}

impl Goals {
    /// Returns two cells of a table in Markdown, the goal and the verdict on a measured value; empty ones without a
    /// goal.
    pub(crate) fn check(&mut self, name: &str, measured: f64, at_most: Option<f64>) -> String {
        let Some(at_most) = at_most else {
            return " | ".to_owned();
        };
        // A value that was not measured is NaN, and misses every goal.
        let verdict = self.note(measured <= at_most, || {
            format!("{name}: {measured:.3}, the goal is at most {at_most}")
        });
        format!("≤ {at_most} | {verdict}")
    }

    /// The same with a lower bound.
    pub(crate) fn check_at_least(&mut self, name: &str, measured: f64, at_least: f64) -> String {
        let verdict = self.note(measured >= at_least, || {
            format!("{name}: {measured:.3}, the goal is at least {at_least}")
        });
        format!("≥ {at_least} | {verdict}")
    }

    fn note(&mut self, met: bool, line: impl FnOnce() -> String) -> &'static str {
        if met {
            self.met += 1;
            "met"
        } else {
            self.missed.push(line());
            "**missed**"
        }
    }

    /// Writes how many goals were met, and which were missed.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { met, missed } = self;
        writeln!(out, "## Goals\n\n{met} met, {} missed", missed.len())?;
        missed.iter().try_for_each(|line| writeln!(out, "* {line}"))
    }
}
