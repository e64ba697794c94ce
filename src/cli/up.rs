//! `threadlab up`: the whole lab in one process.

use std::process::ExitCode;

use clap::Args;

use super::defaults::{ASYNC, FRONT, SYNC, shifted};
use super::serve::ServerArgs;
use super::value::host_and_port;
use crate::serve::{self, Address, Addresses};

#[derive(Debug, Clone, Args)]
pub(super) struct Up {
    /// Address of the front, which serves the live page and forwards to both servers
    #[arg(
        long,
        env = "THREADLAB_FRONT",
        default_value = FRONT,
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    front: String,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    common: ServerArgs,
}

/// Addresses of the two servers: `up` starts them there, `experiment` connects to them.
#[derive(Debug, Clone, Args)]
pub(super) struct Servers {
    /// Address of the synchronous server itself
    #[arg(
        long,
        env = "THREADLAB_SYNC",
        default_value = SYNC,
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    pub(super) sync: String,
    /// Address of the asynchronous server itself
    #[arg(
        long,
        env = "THREADLAB_ASYNC",
        default_value = ASYNC,
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    pub(super) r#async: String,
    /// Number added to the ports of all addresses that have their defaults, for a second lab
    #[arg(
        long,
        env = "THREADLAB_PORTS",
        default_value = "0",
        value_name = "OFFSET",
        value_parser = clap::value_parser!(u16).range(..=50_000)
    )]
    pub(super) ports: u16,
}

impl Up {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let ports = self.servers.ports;
        let shift = |text| shifted(text, ports);
        let addresses = Addresses {
            front: Address::new(shift(self.front), "--front", "THREADLAB_FRONT"),
            sync: Address::new(shift(self.servers.sync), "--sync", "THREADLAB_SYNC"),
            r#async: Address::new(shift(self.servers.r#async), "--async", "THREADLAB_ASYNC"),
            metrics: self.common.metrics.address(shift),
        };
        serve::up(&addresses, &self.common.config()?)
    }
}
