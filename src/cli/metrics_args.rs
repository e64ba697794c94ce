//! Flags of the metrics port, which every command that exports metrics has.

use clap::Args;

use super::defaults::METRICS;
use super::value::listen_address;
use crate::serve::Address;

#[derive(Debug, Clone, Args)]
pub(super) struct MetricsArgs {
    /// Address of the metrics port: /metrics, /healthz, /readyz, /threads, /threads/stream, and, where
    /// the lab's own servers run, POST /experiments/NAME, by which `experiment` announces its runs. A
    /// subnet stands for the address of this machine in it
    #[arg(
        long,
        env = "THREADLAB_METRICS",
        default_value = METRICS,
        value_name = "HOST:PORT",
        value_parser = listen_address
    )]
    metrics: String,
    /// Names with a dot by which clients may address the metrics port, besides IP addresses and names
    /// without a dot; separated by commas
    #[arg(
        long,
        env = "THREADLAB_METRICS_NAMES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(super) metrics_names: Vec<String>,
}

impl MetricsArgs {
    /// Returns the address of the metrics port. `shift` is applied to its text.
    pub(super) fn address(&self, shift: impl Fn(String) -> String) -> Address {
        let text = shift(self.metrics.clone());
        Address::new(text, "--metrics", "THREADLAB_METRICS")
    }
}
