//! The experiments, one per file.

mod abort;
mod article;
mod capacity;
mod capacity_plan;
mod failover;
mod held;
mod keepalive;
mod matrix;
mod noisy;
mod pair;
mod retry;
mod slow_client;
mod waiting;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

pub use self::capacity_plan::CapacityPlan;
use super::Error;
use super::lab_client::LabClient;
use super::report::{Finding, Prediction, Run, Unit};
use crate::flavor::Flavor;

/// An experiment of the course.
#[derive(Debug)]
pub struct Experiment {
    /// Name on the command line. `docs/labs/NAME.md` is its page.
    pub name: &'static str,
    /// Question that it asks.
    pub question: &'static str,
    /// Model from which its predictions follow.
    pub model: &'static str,
    /// Questions whose answers a learner can guess before the run.
    pub guesses: &'static [GuessQuestion],
    /// Returns the expected duration for a given wait of the article's `/`.
    pub(super) duration: fn(Duration) -> Duration,
    /// Runs the experiment and adds its findings to the run.
    pub(super) perform: Perform,
}

/// A question about a finding.
#[derive(Debug)]
pub struct GuessQuestion {
    /// Server of the finding.
    pub server: Flavor,
    /// Quantity of the finding.
    pub quantity: &'static str,
    /// Part of the finding's load, or its route. Among several matching findings the last one counts.
    pub conditions: &'static str,
    /// Returns the question for a given wait of the article's `/`.
    pub text: fn(wait: Duration) -> String,
}

impl GuessQuestion {
    /// Returns the finding that answers the question.
    #[must_use]
    pub fn finding<'a>(&self, findings: &'a [Finding]) -> Option<&'a Finding> {
        findings.iter().rfind(|finding| {
            let setting = &finding.setting;
            setting.server == self.server.as_str()
                && finding.prediction.quantity == self.quantity
                && (setting.load.contains(self.conditions) || setting.via == self.conditions)
        })
    }
}

type Perform = for<'a> fn(&'a LabClient, &'a mut Run) -> LocalBoxFuture<'a, Result<(), Error>>;

/// All experiments in the order of the course.
pub const ALL: &[Experiment] = &[
    article::EXPERIMENT,
    matrix::EXPERIMENT,
    abort::EXPERIMENT,
    keepalive::EXPERIMENT,
    slow_client::EXPERIMENT,
    waiting::EXPERIMENT,
    capacity::EXPERIMENT,
    noisy::EXPERIMENT,
    retry::EXPERIMENT,
    failover::EXPERIMENT,
];

/// Returns the maximum latency in seconds of a request that is served at once while another one waits for
/// `wait`: far below the wait, and far above the latency of an empty request on a busy machine with 2 CPUs.
fn at_once(wait: Duration) -> f64 {
    (wait.as_secs_f64() / 4.0).min(0.5)
}

/// Predicts about `seconds`, with a relative tolerance of `share`, plus 0.3 s upwards for a busy machine.
fn about(quantity: &str, seconds: f64, share: f64, because: &'static str) -> Prediction {
    let (low, high) = (seconds * (1.0 - share), seconds * (1.0 + share) + 0.3);
    Prediction::between(quantity, Unit::Seconds, low, high, because)
}

/// Returns the wait of an experiment that needs a request to be in flight for some seconds only.
fn short_wait(wait: Duration) -> Duration {
    (wait / 4).clamp(Duration::from_millis(1500), Duration::from_secs(5))
}
