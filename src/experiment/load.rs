//! Open-loop load: each request is sent at its scheduled time, no matter whether earlier ones have
//! finished.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::attempt::Attempt;
use super::histogram::Histogram;
use super::lab_client::{LabClient, Via};
use super::report::{Curve, CurvePoint, Prediction, Run, Setting, Unit};
use super::schedule::Schedule;
use super::simulated_queue::SimulatedQueue;
use crate::flavor::Flavor;

/// Quantiles of a [`Curve`].
const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0];

/// Results of the requests of a schedule.
#[derive(Debug, Default)]
pub(super) struct LoadResult {
    /// Latencies of the successful requests, from their scheduled send times.
    latencies: Histogram,
    /// Requests without a response, or with a status other than 200.
    failed: u64,
    /// Successful requests that ended before the end of the schedule.
    in_time: u64,
}

impl LoadResult {
    /// Returns the latency in seconds at `quantile` (0 to 1); infinite, which no prediction allows, if any
    /// request failed.
    pub(super) fn latency(&self, quantile: f64) -> f64 {
        if self.failed > 0 {
            f64::INFINITY
        } else {
            self.latencies.quantile(quantile).as_secs_f64()
        }
    }

    /// Returns the mean latency in seconds; infinite, which no prediction allows, if any request failed.
    pub(super) fn mean_latency(&self) -> f64 {
        if self.failed > 0 {
            f64::INFINITY
        } else {
            self.latencies.mean().as_secs_f64()
        }
    }

    /// Returns the latency distribution of the successful requests.
    pub(super) fn curve(&self, server: Flavor, label: impl Into<String>) -> Curve {
        let point = |quantile| CurvePoint {
            quantile,
            seconds: self.latencies.quantile(quantile).as_secs_f64(),
        };
        Curve {
            server: server.as_str(),
            label: label.into(),
            points: QUANTILES.map(point).into(),
        }
    }

    /// Adds the result of a request.
    pub(super) fn add(&mut self, attempt: &Attempt) {
        if attempt.succeeded() {
            self.latencies.record(attempt.latency());
        } else {
            self.failed += 1;
        }
    }

    /// Returns the number of requests without a response, or with a status other than 200.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }
}

/// Predicts the responses per second during a load of `length` from the simulated queue, and judges the prediction.
pub(super) fn judge_responses(
    run: &mut Run,
    setting: &Setting,
    queue: &SimulatedQueue,
    result: &LoadResult,
    length: Duration,
) {
    let (responses, seconds) = (queue.in_time(length) as f64, length.as_secs_f64());
    run.judge(
        setting,
        Prediction::between(
            "responses",
            Unit::PerSecond,
            (responses * 0.8 - 2.0) / seconds,
            (responses * 1.1 + 2.0) / seconds,
            "throughput of the simulated queue during the load; tolerance -20 %, +10 % and two requests",
        ),
        result.in_time as f64 / seconds,
    );
}

/// Sends `GET path` at each time of the schedule and waits for every response. `length` is the length
/// of the schedule.
pub(super) async fn run(
    lab: &LabClient,
    (server, via): (Flavor, Via),
    path: &str,
    schedule: &Schedule,
    length: Duration,
) -> LoadResult {
    let start = Instant::now();
    let requests = schedule.times().iter();
    let mut requests: FuturesUnordered<_> = requests
        .map(|time| lab.get_at(server, via, path, start + *time))
        .collect();
    let mut result = LoadResult::default();
    while let Some(attempt) = requests.next().await {
        result.add(&attempt);
        let in_time = attempt.intended + attempt.latency() <= start + length;
        result.in_time += u64::from(attempt.succeeded() && in_time);
    }
    result
}
