//! Experiments: each asks a question, predicts the result from a model, and tests the prediction on a
//! running lab.
//!
//! Of the rest of the lab this module knows only [`Flavor`](crate::flavor::Flavor). It sends HTTP requests to the
//! front (or directly to a server, where the front itself is in question) and reads thread states from
//! `/metrics`, as any client can.
//!
//! * `scenario`: one file per experiment
//! * `runner`: runs experiments and decides the verdict
//! * `schedule`, `load`: open-loop load; the send times are fixed before the run
//! * `client`: one HTTP request on its own connection; `lab_client`: requests and scrapes of one lab;
//!   `attempt`: a request and its outcome
//! * `scrape`: the metrics of the lab; `histogram`: latencies
//! * `report`: results as data; `reporter`: writes them as a table, JSON, Markdown or HTML

mod attempt;
pub(crate) mod client;
mod error;
mod histogram;
mod lab_client;
mod load;
mod plural;
mod progress;
pub mod report;
pub mod reporter;
mod resolve;
mod runner;
mod scenario;
mod schedule;
mod scrape;

use std::time::Duration;

pub use client::RequestError;
pub use error::Error;
pub use histogram::Histogram;
pub use runner::{Outcome, run};
pub use scenario::{ALL, CapacityPlan, Experiment, GuessQuestion};
pub use schedule::Schedule;
pub use scrape::{Scrape, StateSeconds};

/// Addresses of a lab, each as `HOST:PORT`.
#[derive(Debug, Clone)]
pub struct LabAddresses {
    /// The front.
    pub front: String,
    /// Metrics ports. Together they must export both servers. A host name that resolves to several
    /// addresses is scraped at each of them: one per replica.
    pub metrics: Vec<String>,
    /// The synchronous server, without the front.
    pub sync: String,
    /// The asynchronous server, without the front.
    pub r#async: String,
}

/// Configuration of a call to [`run()`].
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The lab to test.
    pub addresses: LabAddresses,
    /// Wait of the article's `/`, 0.5 s to 120 s. Every other wait is derived from it.
    pub wait: Duration,
    /// Load for which `capacity` plans, in place of its own.
    pub plan: Option<CapacityPlan>,
}
