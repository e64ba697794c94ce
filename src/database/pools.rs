//! Metrics of all connection pools of a process.

use std::fmt;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntGaugeVec};

use super::waits::Waits;
use crate::metrics::list::{
    DATABASE_POOL_CONNECTIONS, DATABASE_POOL_LIMIT, DATABASE_POOL_WAIT_SECONDS,
    DATABASE_POOL_WAITING, gauge,
};

/// Upper bounds of the buckets for waits, in seconds: from a free connection to the default limit of 10 s.
const WAIT_BUCKETS: [f64; 13] = [
    0.000_1, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolStatus {
    pub(super) idle: usize,
    pub(super) used: usize,
    pub(super) limit: usize,
}

/// A pool, and the function that reads its status.
#[derive(Clone)]
struct PoolProbe {
    server: String,
    driver: &'static str,
    read: Arc<dyn Fn() -> PoolStatus + Send + Sync>,
}

impl fmt::Debug for PoolProbe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PoolProbe({}, {})", self.server, self.driver)
    }
}

/// Collector for the connection pools of all servers of this process.
#[derive(Debug, Clone)]
pub struct DatabasePools {
    pools: Vec<PoolProbe>,
    connections: IntGaugeVec,
    limit: IntGaugeVec,
    waiting: IntGaugeVec,
    wait_seconds: HistogramVec,
}

impl DatabasePools {
    /// Creates a collector without pools.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of a metric or label.
    pub fn new() -> prometheus::Result<Self> {
        let wait = DATABASE_POOL_WAIT_SECONDS;
        let options = HistogramOpts::new(wait.name, wait.help).buckets(WAIT_BUCKETS.to_vec());
        Ok(Self {
            pools: Vec::new(),
            connections: gauge(&DATABASE_POOL_CONNECTIONS)?,
            limit: gauge(&DATABASE_POOL_LIMIT)?,
            waiting: gauge(&DATABASE_POOL_WAITING)?,
            wait_seconds: HistogramVec::new(options, wait.labels)?,
        })
    }

    /// Returns the metrics of the waits for a connection of a pool.
    pub(super) fn waits(&self, server: &str, driver: &str) -> Waits {
        Waits {
            waiting: self.waiting.with_label_values(&[server, driver]),
            seconds: self.wait_seconds.with_label_values(&[server, driver]),
        }
    }

    /// Adds a pool whose status `read` returns.
    pub(super) fn add(
        &mut self,
        server: &str,
        driver: &'static str,
        read: impl Fn() -> PoolStatus + Send + Sync + 'static,
    ) {
        self.pools.push(PoolProbe {
            server: server.to_owned(),
            driver,
            read: Arc::new(read),
        });
    }
}

impl Collector for DatabasePools {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.connections.desc(),
            self.limit.desc(),
            self.waiting.desc(),
            self.wait_seconds.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for PoolProbe {
            server,
            driver,
            read,
        } in &self.pools
        {
            let PoolStatus { idle, used, limit } = read();
            let set = |state, value| {
                let gauge = self
                    .connections
                    .with_label_values(&[server.as_str(), driver, state]);
                gauge.set(value as i64);
            };
            set("idle", idle);
            set("used", used);
            let gauge = self.limit.with_label_values(&[server.as_str(), *driver]);
            gauge.set(limit as i64);
        }
        [
            self.connections.collect(),
            self.limit.collect(),
            self.waiting.collect(),
            self.wait_seconds.collect(),
        ]
        .concat()
    }
}
