//! Which experiment runs, for the marks in the graphs: whoever runs one says so, again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use super::list::EXPERIMENT_RUNNING;
use thread_states::problem::Problem;

/// How long an experiment counts as running after it was last said to: so one whose runner has
/// died is over soon. Runners say it every second.
const HOLDS: Duration = Duration::from_secs(3);

/// The experiments that there are, and which of them runs. Clones share one answer.
///
/// Only names that were given at the start become values of a label, whatever others are announced.
#[derive(Debug, Clone)]
pub struct Experiments {
    running: IntGaugeVec,
    /// Until when each counts as running; `None` for one that was never announced.
    until: Arc<Mutex<BTreeMap<&'static str, Option<Instant>>>>,
}

impl Experiments {
    /// # Errors
    ///
    /// When the metric's name on the list is none that Prometheus allows.
    pub fn new(names: impl IntoIterator<Item = &'static str>) -> prometheus::Result<Self> {
        let opts = Opts::new(EXPERIMENT_RUNNING.name, EXPERIMENT_RUNNING.help);
        let until = names.into_iter().map(|name| (name, None)).collect();
        Ok(Self {
            running: IntGaugeVec::new(opts, EXPERIMENT_RUNNING.labels)?,
            until: Arc::new(Mutex::new(until)),
        })
    }

    /// The route on which an experiment is announced: `POST /experiments/NAME`. Answers 204, or 404
    /// if there is none of that name.
    pub fn routes(&self) -> Router {
        let experiments = self.clone();
        // A name that is no text is none of them.
        let announce = async move |name: Result<Path<String>, PathRejection>| {
            experiments.announce(name.as_deref().map_or("", String::as_str))
        };
        Router::new().route("/experiments/{name}", post(announce))
    }

    fn announce(&self, name: &str) -> Response {
        match self.until().get_mut(name) {
            Some(until) => {
                *until = Some(Instant::now() + HOLDS);
                StatusCode::NO_CONTENT.into_response()
            }
            None => {
                Problem::new(StatusCode::NOT_FOUND, "no such experiment is known").into_response()
            }
        }
    }

    fn until(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<Instant>>> {
        // No one leaves it half changed.
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Experiments {
    fn desc(&self) -> Vec<&Desc> {
        self.running.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = Instant::now();
        for (name, until) in self.until().iter() {
            let runs = until.is_some_and(|until| until > now);
            self.running.with_label_values(&[name]).set(runs.into());
        }
        self.running.collect()
    }
}
