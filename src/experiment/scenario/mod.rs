//! The experiments, one per file.

mod abort;
mod article;
mod capacity;
mod crowd;
mod definition;
mod drivers;
mod failover;
mod held;
mod keepalive;
mod matrix;
mod noisy;
mod pair;
mod planned_capacity;
mod pools;
mod retry;
mod slow_client;
mod waiting;

pub use self::definition::{Experiment, GuessQuestion};

/// Experiments that compare any servers, also the article's programs.
pub const COMPARISONS: [&str; 3] = [
    article::EXPERIMENT.name,
    matrix::EXPERIMENT.name,
    drivers::EXPERIMENT.name,
];

/// All experiments in the order of the course.
pub const ALL: &[Experiment] = &[
    article::EXPERIMENT,
    matrix::EXPERIMENT,
    drivers::EXPERIMENT,
    abort::EXPERIMENT,
    keepalive::EXPERIMENT,
    slow_client::EXPERIMENT,
    waiting::EXPERIMENT,
    capacity::EXPERIMENT,
    pools::EXPERIMENT,
    noisy::EXPERIMENT,
    retry::EXPERIMENT,
    failover::EXPERIMENT,
];
