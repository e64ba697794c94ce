//! Open-loop load: requests leave when the schedule says so, whatever became of those before.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::lab::{Exchange, Lab, Via};
use super::report::{Curve, Point};
use super::{Histogram, Schedule, Server};

/// The points of a curve.
const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0];

/// What became of a schedule's requests.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Latencies of the requests that succeeded, from their intended time of sending.
    latencies: Histogram,
    /// Requests with no answer or another one than 200.
    failed: u64,
    /// Requests that succeeded before the schedule was over.
    pub(super) in_time: u64,
}

impl Load {
    /// The latency in seconds that the share `quantile` of the requests does not exceed. Infinite,
    /// which no prediction allows, if any failed: late is not lost.
    pub(super) fn latency(&self, quantile: f64) -> f64 {
        if self.failed > 0 {
            f64::INFINITY
        } else {
            self.latencies.quantile(quantile).as_secs_f64()
        }
    }

    /// How the latencies of the requests that succeeded are distributed.
    pub(super) fn curve(&self, label: impl Into<String>) -> Curve {
        let point = |quantile| Point {
            quantile,
            seconds: self.latencies.quantile(quantile).as_secs_f64(),
        };
        Curve {
            label: label.into(),
            points: QUANTILES.map(point).into(),
        }
    }

    /// Counts what became of a request.
    pub(super) fn add(&mut self, exchange: &Exchange) {
        if exchange.succeeded() {
            self.latencies.record(exchange.latency());
        } else {
            self.failed += 1;
        }
    }

    /// Requests with no answer or another one than 200.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }
}

/// Sends a request to `path` at each time of the schedule and waits for every answer. `length` is
/// how long the schedule is.
pub(super) async fn run(
    lab: &Lab,
    (server, via): (Server, Via),
    path: &str,
    schedule: &Schedule,
    length: Duration,
) -> Load {
    let start = Instant::now();
    let requests = schedule.times().iter();
    let mut requests: FuturesUnordered<_> = requests
        .map(|time| lab.get_at(server, via, path, start + *time))
        .collect();
    let mut load = Load::default();
    while let Some(exchange) = requests.next().await {
        load.add(&exchange);
        let in_time = exchange.intended + exchange.latency() <= start + length;
        load.in_time += u64::from(exchange.succeeded() && in_time);
    }
    load
}
