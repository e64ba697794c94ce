//! What experiments found: data only. [`reporter`](super::reporter) writes it down.
//!
//! As JSON this is a schema of its own, [`SCHEMA`], described in `docs/labs/schema.md`. Seconds are
//! seconds, bytes are bytes; a bound that is not there is `null`.

use serde::Serialize;

use super::States;

/// The version of the JSON form. It changes when a field is removed or changes its meaning.
pub const SCHEMA: u32 = 1;

/// The runs of one call.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of this program.
    pub version: &'static str,
    /// The front that was asked.
    pub front: String,
    /// The wait of the article's `/`, from which the experiments derive theirs.
    pub seconds: f64,
    /// CPUs of the machine that generated the load.
    pub cpus: usize,
    /// One for each experiment, in the order in which they ran.
    pub runs: Vec<Run>,
}

/// One experiment, performed.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Its name.
    pub name: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// From what its predictions follow.
    pub model: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// Why the verdict is what it is, where the findings do not say so.
    pub notes: Vec<String>,
    /// Each number that was predicted, and what was seen.
    pub findings: Vec<Finding>,
    /// Requests drawn over time.
    pub timelines: Vec<Timeline>,
    /// How latencies were distributed.
    pub curves: Vec<Curve>,
    /// How well the load was generated.
    pub generator: Generator,
    /// How long it took.
    pub took_seconds: f64,
}

/// What came of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every number is within its prediction.
    Confirmed,
    /// A number is not.
    Contradicted,
    /// The load was not what it was to be, so the numbers mean nothing.
    Void,
    /// This lab has not what the experiment is about.
    NotHere,
    /// It was stopped before its end.
    Interrupted,
}

impl Verdict {
    /// In words.
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

/// What stands beside each number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// `sync` or `async`.
    pub server: &'static str,
    /// `front` or `direct`.
    pub via: &'static str,
    /// Threads of the server.
    pub threads: usize,
    /// Threads that it may have beside those, where the load makes use of them.
    pub pool_threads: Option<usize>,
    /// How long the requests in question wait.
    pub wait_seconds: f64,
    /// What was asked for.
    pub load: String,
}

/// A number that was predicted, and what was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Under which circumstances.
    pub setting: Setting,
    /// What was predicted.
    #[serde(flatten)]
    pub prediction: Prediction,
    /// What was seen; `null` where requests failed that had to succeed.
    pub observed: f64,
    /// Whether it is within the prediction.
    pub holds: bool,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Events a second.
    PerSecond,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
}

/// The range in which a number is to be.
#[derive(Debug, Clone, Serialize)]
pub struct Prediction {
    /// What it is.
    pub quantity: String,
    /// In which unit.
    pub unit: Unit,
    /// It is not below this.
    pub low: f64,
    /// It is not above this; `null` if there is no bound.
    pub high: f64,
    /// Why this, and why it may differ by as much.
    pub because: &'static str,
}

impl Prediction {
    /// From `low` to `high`.
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

    /// At most `high`.
    pub fn at_most(
        quantity: impl Into<String>,
        unit: Unit,
        high: f64,
        because: &'static str,
    ) -> Self {
        Self::between(quantity, unit, 0.0, high, because)
    }

    /// At least `low`.
    pub fn at_least(
        quantity: impl Into<String>,
        unit: Unit,
        low: f64,
        because: &'static str,
    ) -> Self {
        Self::between(quantity, unit, low, f64::INFINITY, because)
    }
}

/// Requests over time, and the states of the thread under them.
#[derive(Debug, Clone, Serialize)]
pub struct Timeline {
    /// Which server.
    pub server: &'static str,
    /// How long it is.
    pub seconds: f64,
    /// The requests, in their order.
    pub requests: Vec<Bar>,
    /// What the server's threads did, in equal slices of the time.
    pub threads: Vec<Slice>,
}

/// A request, drawn.
#[derive(Debug, Clone, Serialize)]
pub struct Bar {
    /// What was asked for.
    pub path: String,
    /// When, from the start.
    pub at_seconds: f64,
    /// How long it then waited for a thread.
    pub queued_seconds: f64,
    /// How long it then held one.
    pub held_seconds: f64,
    /// How long it then waited without one.
    pub awaited_seconds: f64,
}

/// What the threads did from the slice before until `until_seconds`.
#[derive(Debug, Clone, Serialize)]
pub struct Slice {
    /// Its end, from the start of the timeline.
    pub until_seconds: f64,
    /// The state in which they spent most of it.
    pub state: &'static str,
}

impl Slice {
    /// The slice that ends at `until_seconds`, in which the threads did this.
    #[must_use]
    pub fn new(until_seconds: f64, states: &States) -> Self {
        let most = states
            .named()
            .into_iter()
            .max_by(|a, b| a.1.total_cmp(&b.1));
        Self {
            until_seconds,
            state: most.map_or("idle", |(state, _)| state),
        }
    }
}

/// The distribution of the latencies of one load.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// Of which.
    pub label: String,
    /// From the lowest quantile to the highest.
    pub points: Vec<Point>,
}

/// A point of a [`Curve`].
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    /// The share of the requests, 0 to 1, …
    pub quantile: f64,
    /// … that had at most this latency.
    pub seconds: f64,
}

/// How well the load was generated.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Generator {
    /// Requests sent.
    pub requests: u64,
    /// How late they were sent, at the 99th percentile.
    pub lag_p99_seconds: f64,
    /// How late the latest was sent.
    pub lag_max_seconds: f64,
    /// CPU seconds of the generator a second; it has one thread, so 1 is all there is.
    pub cpu_share: f64,
}

/// More than this and latencies are the generator's as much as the lab's.
const LAG_LIMIT_SECONDS: f64 = 0.1;
/// Beyond this the generator is short of CPU.
const CPU_LIMIT: f64 = 0.9;

impl Generator {
    /// Why the load was not what it was to be, if so.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.lag_p99_seconds > LAG_LIMIT_SECONDS {
            Some(format!(
                "the generator sent 1 % of its requests {:.3} s late or later; {LAG_LIMIT_SECONDS} s is allowed",
                self.lag_p99_seconds
            ))
        } else if self.cpu_share > CPU_LIMIT {
            Some(format!(
                "the generator used {:.0} % of its one CPU; {:.0} % is allowed",
                self.cpu_share * 100.0,
                CPU_LIMIT * 100.0
            ))
        } else {
            None
        }
    }
}

impl Run {
    /// Compares a number with its prediction.
    pub fn judge(&mut self, setting: &Setting, prediction: Prediction, observed: f64) {
        self.findings.push(Finding {
            setting: setting.clone(),
            holds: (prediction.low..=prediction.high).contains(&observed) && observed.is_finite(),
            prediction,
            observed,
        });
    }

    /// Compares the time in a state with its prediction. Where it differs, a note says what the
    /// threads did instead.
    pub fn judge_state(
        &mut self,
        setting: &Setting,
        prediction: Prediction,
        observed: f64,
        spent: &States,
    ) {
        let quantity = prediction.quantity.clone();
        self.judge(setting, prediction, observed);
        if self.findings.last().is_some_and(|finding| !finding.holds) {
            let states = spent.named();
            let states = states.map(|(state, seconds)| format!("{state} {seconds:.2} s"));
            self.notes.push(format!(
                "{}, {}: where {quantity} is not as predicted, the threads were {}",
                setting.server,
                setting.load,
                states.join(", ")
            ));
        }
    }

    /// The verdict that the findings give.
    #[must_use]
    pub fn found(&self) -> Verdict {
        if self.findings.iter().all(|finding| finding.holds) {
            Verdict::Confirmed
        } else {
            Verdict::Contradicted
        }
    }
}
