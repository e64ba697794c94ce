//! Results of experiments, as data. [`reporter`](super::reporter) writes them.
//!
//! The JSON form has its own version, [`SCHEMA`], and is described in `docs/labs/schema.md`. Times are
//! in seconds, sizes in bytes; a bound that does not exist is `null`.

use serde::Serialize;

use super::StateSeconds;

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

/// Time in the state `runnable`, summed over the threads of each server.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct CpuWait {
    /// Seconds of the synchronous server.
    pub sync_seconds: f64,
    /// Seconds of the asynchronous server.
    pub async_seconds: f64,
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

/// Conditions under which a number was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// `sync` or `async`.
    pub server: &'static str,
    /// `front` or `direct`.
    pub via: &'static str,
    /// Threads of the server.
    pub threads: usize,
    /// Limit of threads of the server's blocking pool, if the load uses the pool.
    pub pool_threads: Option<usize>,
    /// Wait of the requests in question.
    pub wait_seconds: f64,
    /// Requests that were sent.
    pub load: String,
}

/// A predicted number and its measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Conditions of the measurement.
    pub setting: Setting,
    /// Predicted range.
    #[serde(flatten)]
    pub prediction: Prediction,
    /// Measured value; `null` if a request failed that had to succeed.
    pub observed: f64,
    /// True if the value is within the predicted range.
    pub holds: bool,
}

/// Unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Events per second.
    PerSecond,
    /// A plain number.
    Count,
    /// Bytes.
    Bytes,
}

/// Predicted range of a number.
#[derive(Debug, Clone, Serialize)]
pub struct Prediction {
    /// Name of the number.
    pub quantity: String,
    /// Its unit.
    pub unit: Unit,
    /// Lower bound, inclusive.
    pub low: f64,
    /// Upper bound, inclusive; `null` if there is none.
    pub high: f64,
    /// Reason for the value, and for the width of the range.
    pub because: &'static str,
}

impl Prediction {
    /// Predicts a number from `low` to `high`. A negative `low` becomes 0.
    pub fn between(
        quantity: impl Into<String>,
        unit: Unit,
        low: f64,
        high: f64,
        because: &'static str,
    ) -> Self {
        Self {
            quantity: quantity.into(),
            unit,
            low: low.max(0.0),
            high,
            because,
        }
    }

    /// Predicts a number of at most `high`.
    pub fn at_most(
        quantity: impl Into<String>,
        unit: Unit,
        high: f64,
        because: &'static str,
    ) -> Self {
        Self::between(quantity, unit, 0.0, high, because)
    }

    /// Predicts a number of at least `low`.
    pub fn at_least(
        quantity: impl Into<String>,
        unit: Unit,
        low: f64,
        because: &'static str,
    ) -> Self {
        Self::between(quantity, unit, low, f64::INFINITY, because)
    }
}

/// Requests to one server over time, and the states of its threads meanwhile.
#[derive(Debug, Clone, Serialize)]
pub struct Timeline {
    /// `sync` or `async`.
    pub server: &'static str,
    /// Length of the timeline.
    pub seconds: f64,
    /// Requests in the order in which they were sent.
    pub requests: Vec<RequestBar>,
    /// Thread states in consecutive slices of time.
    pub threads: Vec<StateSlice>,
}

/// A request of a [`Timeline`].
#[derive(Debug, Clone, Serialize)]
pub struct RequestBar {
    /// Path.
    pub path: String,
    /// Send time, counted from the start of the timeline.
    pub at_seconds: f64,
    /// Latency as the client measured it; `null` if the request failed.
    pub latency_seconds: f64,
    /// Time spent waiting for a thread.
    pub queued_seconds: f64,
    /// Time holding a thread.
    pub held_seconds: f64,
    /// Time waiting without holding a thread.
    pub awaited_seconds: f64,
}

/// Dominant thread state from the end of the previous slice to `until_seconds`.
#[derive(Debug, Clone, Serialize)]
pub struct StateSlice {
    /// End, counted from the start of the timeline.
    pub until_seconds: f64,
    /// State in which the threads spent most of the slice.
    pub state: &'static str,
}

impl StateSlice {
    /// Returns the slice that ends at `until_seconds`. `spent` is what the threads did during it.
    #[must_use]
    pub fn new(until_seconds: f64, spent: &StateSeconds) -> Self {
        Self {
            until_seconds,
            state: spent.dominant(),
        }
    }
}

/// Numbers in rows and columns.
#[derive(Debug, Clone, Serialize)]
pub struct DataTable {
    /// Title.
    pub title: String,
    /// Source of the formula in it.
    pub source: &'static str,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows with one number per column; `null` if there is none.
    pub rows: Vec<Vec<f64>>,
}

/// Column of a [`DataTable`].
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// Unit of its numbers.
    pub unit: Unit,
}

impl Column {
    /// Returns a column.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self {
            name: name.into(),
            unit,
        }
    }
}

/// Latency distribution of one load.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// `sync` or `async`.
    pub server: &'static str,
    /// Description of the load.
    pub label: String,
    /// Points by ascending quantile.
    pub points: Vec<CurvePoint>,
}

/// Point of a [`Curve`]: the share `quantile` of the requests had at most this latency.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CurvePoint {
    /// Share of the requests, 0 to 1.
    pub quantile: f64,
    /// Latency.
    pub seconds: f64,
}

/// Quality of the generated load.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Generator {
    /// Requests sent.
    pub requests: u64,
    /// 99th percentile of the delay between scheduled and actual send time.
    pub lag_p99_seconds: f64,
    /// Maximum of that delay.
    pub lag_max_seconds: f64,
    /// CPU seconds per second used by the generator. It has one thread, so 1 is the maximum.
    pub cpu_share: f64,
}

/// Above this lag, latencies say as much about the generator as about the lab.
const LAG_LIMIT_SECONDS: f64 = 0.1;
/// Above this share the generator is short of CPU time.
const CPU_LIMIT: f64 = 0.9;

impl Generator {
    /// Returns the reason why the load was not generated as scheduled, if so.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.lag_p99_seconds > LAG_LIMIT_SECONDS {
            Some(format!(
                "the load generator sent 1 % of its requests {:.3} s late or later; the limit is {LAG_LIMIT_SECONDS} s",
                self.lag_p99_seconds
            ))
        } else if self.cpu_share > CPU_LIMIT {
            Some(format!(
                "the load generator used {:.0} % of its one CPU; the limit is {:.0} %",
                self.cpu_share * 100.0,
                CPU_LIMIT * 100.0
            ))
        } else {
            None
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
