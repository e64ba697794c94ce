//! Results of experiments, as data. [`reporter`](super::reporter) writes them.
//!
//! The JSON form has its own version, [`SCHEMA`], and is described in `docs/labs/schema.md`. Times are
//! in seconds, sizes in bytes; a bound that does not exist is `null`.

mod cpu_wait;
mod figure;
mod finding;
mod generator;

use serde::Serialize;

pub use self::cpu_wait::CpuWait;
pub use self::figure::{Column, Curve, CurvePoint, DataTable, RequestBar, StateSlice, Timeline};
pub use self::finding::{Finding, Prediction, Setting, Unit};
pub use self::generator::Generator;
use super::scrape::StateSeconds;

/// Version of the JSON form. It changes when a field is removed or changes its meaning.
pub const SCHEMA: u32 = 1;

/// Results of one call of `threadlab experiment`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of this program.
    pub version: &'static str,
    /// Address of the front.
    pub front: String,
    /// Wait of the article's `/`, from which the experiments derive theirs.
    pub seconds: f64,
    /// CPUs of the machine that generated the load.
    pub cpus: usize,
    /// One run per experiment, in the order in which they ran.
    pub runs: Vec<Run>,
}

#[cfg(test)]
impl Report {
    /// Returns a report of no experiment.
    pub(crate) fn without_runs() -> Self {
        Self {
            schema: SCHEMA,
            version: "1",
            front: "127.0.0.1:8080".into(),
            seconds: 20.0,
            cpus: 1,
            runs: Vec::new(),
        }
    }
}

/// Result of one experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Name of the experiment.
    pub name: &'static str,
    /// Question that it asks.
    pub question: &'static str,
    /// Model from which its predictions follow.
    pub model: &'static str,
    /// Verdict.
    pub verdict: Verdict,
    /// Reason for a verdict that does not follow from the findings: why the run is void, or not here. It is
    /// also among the notes.
    pub reason: Option<String>,
    /// Time for which the servers' threads waited for a CPU during the run.
    pub cpu_wait: CpuWait,
    /// Remarks that the findings do not show. Those about findings begin with their row numbers.
    pub notes: Vec<String>,
    /// Each predicted number with its measurement.
    pub findings: Vec<Finding>,
    /// Requests drawn over time.
    pub timelines: Vec<Timeline>,
    /// Latency distributions.
    pub curves: Vec<Curve>,
    /// Further measurements, not judged.
    pub tables: Vec<DataTable>,
    /// Quality of the generated load.
    pub generator: Generator,
    /// Duration of the experiment.
    pub took_seconds: f64,
}

/// Verdict of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every number is within its predicted range.
    Confirmed,
    /// At least one number is not.
    Contradicted,
    /// The load or the machine was not as required, so the numbers mean nothing.
    Void,
    /// The lab does not have what the experiment needs.
    NotHere,
    /// The experiment was stopped before its end.
    Interrupted,
}

impl Verdict {
    /// Returns the verdict as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Contradicted => "contradicted",
            Self::Void => "void",
            Self::NotHere => "not here",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Run {
    /// Adds a finding: `observed`, compared with its prediction.
    pub fn judge(&mut self, setting: &Setting, prediction: Prediction, observed: f64) {
        self.findings.push(Finding {
            setting: setting.clone(),
            holds: (prediction.low..=prediction.high).contains(&observed) && observed.is_finite(),
            prediction,
            observed,
        });
    }

    /// Adds a finding about the time in one thread state. If it does not hold, a note lists the time in
    /// all states.
    pub fn judge_state(
        &mut self,
        setting: &Setting,
        prediction: Prediction,
        observed: f64,
        spent: &StateSeconds,
    ) {
        let quantity = prediction.quantity.clone();
        self.judge(setting, prediction, observed);
        if self.findings.last().is_some_and(|finding| !finding.holds) {
            let states = spent.named();
            let states = states.map(|(state, seconds)| format!("{state} {seconds:.2} s"));
            self.note_rows(
                self.findings.len(),
                format!(
                    "{quantity} is not as predicted; the threads were {}",
                    states.join(", ")
                ),
            );
        }
    }

    /// Adds a note about the findings from row `first` (counted from 1) to the last one so far.
    pub fn note_rows(&mut self, first: usize, text: impl std::fmt::Display) {
        let last = self.findings.len();
        let rows = if first < last {
            format!("rows {first} to {last}")
        } else {
            format!("row {last}")
        };
        self.notes.push(format!("{rows}: {text}"));
    }

    /// Returns the notes, without the reason for the verdict.
    pub fn remarks(&self) -> impl Iterator<Item = &String> {
        let reason = self.reason.as_ref();
        self.notes.iter().filter(move |note| Some(*note) != reason)
    }

    /// Sets a verdict that does not follow from the findings, with its reason.
    pub fn conclude(&mut self, verdict: Verdict, reason: String) {
        self.verdict = verdict;
        self.notes.push(reason.clone());
        self.reason = Some(reason);
    }

    /// Returns the verdict that follows from the findings.
    #[must_use]
    pub fn verdict_of_findings(&self) -> Verdict {
        if self.findings.iter().all(|finding| finding.holds) {
            Verdict::Confirmed
        } else {
            Verdict::Contradicted
        }
    }
}
