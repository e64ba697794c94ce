//! Accept queues of the servers: connections that wait in the kernel until a thread accepts them.

use std::iter::Sum;

use prometheus::IntGaugeVec;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use serde::Serialize;

use super::list::{ACCEPT_QUEUE_LENGTH, ACCEPT_QUEUE_LIMIT, gauge};
use super::probe::Probe;

/// Accept queue of a server: connections that the kernel holds until a thread accepts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AcceptQueue {
    /// Number of connections that wait.
    pub length: u64,
    /// Backlog. Linux lets one more connection wait than this.
    pub limit: u64,
}

impl Sum for AcceptQueue {
    fn sum<I: Iterator<Item = Self>>(queues: I) -> Self {
        queues.fold(Self::default(), |sum, queue| Self {
            length: sum.length.saturating_add(queue.length),
            limit: sum.limit.saturating_add(queue.limit),
        })
    }
}

/// Collector for the accept queues of all servers of this process.
#[derive(Debug)]
pub struct AcceptQueues {
    servers: Vec<(String, Probe<AcceptQueue>)>,
    length: IntGaugeVec,
    limit: IntGaugeVec,
}

impl AcceptQueues {
    /// Creates a collector for these servers, given by name.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of a metric or label.
    pub fn new(servers: Vec<(String, Probe<AcceptQueue>)>) -> prometheus::Result<Self> {
        Ok(Self {
            servers,
            length: gauge(&ACCEPT_QUEUE_LENGTH)?,
            limit: gauge(&ACCEPT_QUEUE_LIMIT)?,
        })
    }
}

impl Collector for AcceptQueues {
    fn desc(&self) -> Vec<&Desc> {
        [self.length.desc(), self.limit.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.length.reset();
        self.limit.reset();
        for (server, probe) in &self.servers {
            let Some(AcceptQueue { length, limit }) = probe.read() else {
                continue;
            };
            self.length.with_label_values(&[server]).set(length as i64);
            self.limit.with_label_values(&[server]).set(limit as i64);
        }
        [self.length.collect(), self.limit.collect()].concat()
    }
}
