//! The experiments, a file each.

mod abort;
mod article;
mod capacity;
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

use super::Error;
use super::lab::Lab;
use super::report::{Prediction, Run, Unit};

/// One experiment of the syllabus.
#[derive(Debug)]
pub struct Experiment {
    /// Its name on the command line; `docs/labs/NAME.md` is its page.
    pub name: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// From what its predictions follow.
    pub model: &'static str,
    /// Adds to the run what is found.
    pub(super) perform: Perform,
}

type Perform = for<'a> fn(&'a Lab, &'a mut Run) -> LocalBoxFuture<'a, Result<(), Error>>;

/// All experiments, in the order of the course.
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

/// What "at once" means beside a wait: far below it, and still far above what a busy machine with
/// two CPUs takes for a request that does nothing.
fn at_once(wait: Duration) -> f64 {
    (wait.as_secs_f64() / 4.0).min(0.5)
}

/// About `seconds`: a `share` of it less or more, and 0.3 s more for a busy machine.
fn about(quantity: &str, seconds: f64, share: f64, because: &'static str) -> Prediction {
    let (low, high) = (seconds * (1.0 - share), seconds * (1.0 + share) + 0.3);
    Prediction::between(quantity, Unit::Seconds, low, high, because)
}
