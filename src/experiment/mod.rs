//! Experiments: a question, a prediction from a stated model, a run against a real lab, a verdict.
//!
//! This imports nothing of ours. It speaks HTTP to the front (and, where the question is what the
//! front is good for, to a gateway) and reads the threads' states from `/metrics`, as anyone can.
//!
//! * `scenario`: the experiments, a file each
//! * `schedule`, `load`, `client`: an open loop of requests, each on a connection of its own
//! * `lab`, `scrape`: the lab that is asked, and what its metrics say
//! * `histogram`: latencies
//! * `report`: what was found, as data; `reporter`: as a table, JSON or Markdown

mod client;
mod error;
mod histogram;
mod lab;
mod load;
pub mod report;
pub mod reporter;
mod runner;
mod scenario;
mod schedule;
mod scrape;

use std::fmt;
use std::time::Duration;

pub use client::Failure;
pub use error::Error;
pub use histogram::Histogram;
pub use runner::{Ended, run};
pub use scenario::{ALL, Experiment};
pub use schedule::Schedule;
pub use scrape::{Scrape, States};

/// The two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The synchronous one.
    Sync,
    /// The asynchronous one.
    Async,
}

impl Server {
    /// Both, the synchronous one first.
    pub const BOTH: [Self; 2] = [Self::Sync, Self::Async];

    /// Its name in paths and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Where the lab is; each address is `HOST:PORT`.
#[derive(Debug, Clone)]
pub struct Target {
    /// The front.
    pub front: String,
    /// The metrics ports, which together know both servers. A name that stands for several
    /// addresses stands for as many replicas.
    pub metrics: Vec<String>,
    /// The synchronous gateway itself.
    pub sync: String,
    /// The asynchronous gateway itself.
    pub r#async: String,
}

/// How experiments are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the lab is.
    pub target: Target,
    /// The wait of the article's `/`, from 0.5 s to 120 s; every other wait derives from it.
    pub wait: Duration,
}
