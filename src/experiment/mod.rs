//! Experiments: each asks a question, predicts the result from a model, and tests the prediction on a
//! running lab.
//!
//! Of the rest of the lab this module knows only [`Flavor`](crate::flavor::Flavor). It sends HTTP requests to the
//! front (or directly to a server, where the front itself is in question) and reads thread states from
//! `/metrics`, as any client can.
//!
//! * `scenario`: one file per experiment
//! * `config`: the lab and the wait; `capacity_plan`: the reader's own load; `waits`: durations derived from the wait
//! * `mdc_queue`: waiting times by formula; `simulated_queue`: latencies by simulation; `latency_columns`: formula and
//!   measurement side by side
//! * `runner`: runs experiments and decides the verdict
//! * `schedule`, `load`: open-loop load; the send times are fixed before the run
//! * `client`: one HTTP request on its own connection; `attempt`: a request and its outcome
//! * `lab_server`: a server of the lab, by name; `lab_client`: requests and scrapes of one lab; `lab_checks`: checks before and after; `sent`: requests sent
//! * `scrape`: the metrics of the lab; `live_states`: the same as it is streamed, for the display; `histogram`: latencies
//! * `fuzz`: checks of what a metrics port may send
//! * `report`: results as data; `reporter`: writes them as a table, JSON, Markdown or HTML

mod attempt;
mod capacity_plan;
pub(crate) mod client;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod histogram;
mod lab_checks;
mod lab_client;
mod lab_server;
mod latency_columns;
mod live_states;
mod load;
mod mdc_queue;
mod plural;
mod progress;
pub mod report;
pub mod reporter;
mod resolve;
mod runner;
mod scenario;
mod schedule;
mod scrape;
mod sent;
mod simulated_queue;
mod waits;

pub use capacity_plan::CapacityPlan;
pub use client::RequestError;
pub use config::{LabAddresses, RunConfig};
pub use error::Error;
pub use histogram::Histogram;
pub use lab_server::LabServer;
pub use runner::{Outcome, run};
pub use scenario::{ALL, COMPARISONS, Experiment, GuessQuestion};
pub use schedule::Schedule;
pub use scrape::{Scrape, StateSeconds};
