//! The experiments that are running, for the annotations in the graphs: the runner of an experiment
//! announces it every second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use prometheus::IntGaugeVec;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::list::{EXPERIMENT_RUNNING, gauge};
use thread_states::problem::Problem;

/// Time that an announcement is valid. A runner that was killed cannot announce the end of its
/// experiment, so announcements expire instead.
const VALIDITY: Duration = Duration::from_secs(3);

/// Collector and route for running experiments. Clones share the state.
///
/// Only the names given at creation become label values, so that clients cannot create series.
#[derive(Debug, Clone)]
pub struct Experiments {
    running: IntGaugeVec,
    /// End of the last announcement's validity, by experiment; `None` if it was never announced.
    until: Arc<Mutex<BTreeMap<&'static str, Option<Instant>>>>,
}

impl Experiments {
    /// Creates a collector for the experiments with these names.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of the metric or label.
    pub fn new(names: impl IntoIterator<Item = &'static str>) -> prometheus::Result<Self> {
        let until = names.into_iter().map(|name| (name, None)).collect();
        Ok(Self {
            running: gauge(&EXPERIMENT_RUNNING)?,
            until: Arc::new(Mutex::new(until)),
        })
    }

    /// Returns the route that announces an experiment, `POST /experiments/NAME`. It responds with
    /// 204, or 404 if the name is unknown.
    pub fn routes(&self) -> Router {
        let experiments = self.clone();
        // A name that is not UTF-8 is unknown like any other.
        let announce = async move |name: Result<Path<String>, PathRejection>| {
            experiments.announce(name.as_deref().map_or("", String::as_str))
        };
        Router::new().route("/experiments/{name}", post(announce))
    }

    fn announce(&self, name: &str) -> Response {
        match self.until().get_mut(name) {
            Some(until) => {
                *until = Some(Instant::now() + VALIDITY);
                StatusCode::NO_CONTENT.into_response()
            }
            None => Problem::new(StatusCode::NOT_FOUND, "unknown experiment").into_response(),
        }
    }

    fn until(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<Instant>>> {
        // Each change is a single assignment, so a panic cannot leave the map half changed.
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
