//! `threadlab up`: the whole lab in one process.

use std::process::ExitCode;

use clap::Args;

use super::serve::{ServerArgs, address};
use super::value::host_and_port;
use crate::serve::{self, Addresses};

#[derive(Debug, Clone, Args)]
pub(super) struct Up {
    /// Address of the front, which serves the live page and forwards to both servers
    #[arg(
        long,
        env = "THREADLAB_FRONT",
        default_value = "127.0.0.1:8080",
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
        default_value = "127.0.0.1:8001",
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    pub(super) sync: String,
    /// Address of the asynchronous server itself
    #[arg(
        long,
        env = "THREADLAB_ASYNC",
        default_value = "127.0.0.1:8002",
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    pub(super) r#async: String,
}

impl Up {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let addresses = Addresses {
            front: address(self.front, "--front", "THREADLAB_FRONT"),
            sync: address(self.servers.sync, "--sync", "THREADLAB_SYNC"),
            r#async: address(self.servers.r#async, "--async", "THREADLAB_ASYNC"),
            metrics: self.common.metrics(),
        };
        serve::up(&addresses, &self.common.config())
    }
}
