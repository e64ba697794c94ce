//! Requests that no thread of a server has taken yet.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts};
use serde::Serialize;

use super::list::{OLDEST_QUEUED, QUEUED_REQUESTS, gauge};
use super::probe::Probe;

/// Requests that have arrived and that no thread has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RequestQueue {
    /// On connections that wait to be accepted.
    pub accept: u64,
    /// On accepted connections, of which nothing has been read.
    pub socket: u64,
    /// Age of the oldest of them in seconds, to a kernel tick; 0 without one.
    pub oldest_seconds: f64,
}

/// Collector for the queued requests of all servers of this process.
#[derive(Debug)]
pub struct RequestQueues {
    servers: Vec<(String, Probe<RequestQueue>)>,
    queued: IntGaugeVec,
    oldest: GaugeVec,
}

impl RequestQueues {
    /// Creates a collector for these servers, given by name.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of a metric or label.
    pub fn new(servers: Vec<(String, Probe<RequestQueue>)>) -> prometheus::Result<Self> {
        let oldest = Opts::new(OLDEST_QUEUED.name, OLDEST_QUEUED.help);
        Ok(Self {
            servers,
            queued: gauge(&QUEUED_REQUESTS)?,
            oldest: GaugeVec::new(oldest, OLDEST_QUEUED.labels)?,
        })
    }
}

impl Collector for RequestQueues {
    fn desc(&self) -> Vec<&Desc> {
        [self.queued.desc(), self.oldest.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.queued.reset();
        self.oldest.reset();
        for (server, probe) in &self.servers {
            let Some(queue) = probe.read() else {
                continue;
            };
            for (place, requests) in [("accept", queue.accept), ("socket", queue.socket)] {
                let series = self.queued.with_label_values(&[server.as_str(), place]);
                series.set(requests as i64);
            }
            let oldest = self.oldest.with_label_values(&[server]);
            oldest.set(queue.oldest_seconds);
        }
        [self.queued.collect(), self.oldest.collect()].concat()
    }
}
