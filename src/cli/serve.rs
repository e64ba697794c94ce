//! `threadlab serve`: one server. `up` has the same flags, except for `--listen`.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Args;

use super::database_args::DatabaseArgs;
use super::metrics_args::MetricsArgs;
use super::value::{SecondsArg, grace, listen_address, switch, threads, timeout};
use crate::app::BodyLimit;
use crate::flavor::Flavor;
use crate::gateway::{ClientLimits, GatewayConfig};
use crate::live::Link;
use crate::serve::{self, Address, ServerConfig};

#[derive(Debug, Clone, Args)]
pub(super) struct Serve {
    /// Execution model of the server
    flavor: Flavor,
    /// Address of the server. A subnet stands for the address of this machine in it: 10.1.0.0/24:8000
    #[arg(
        long,
        env = "THREADLAB_LISTEN",
        default_value_t = GatewayConfig::default().listen.to_string(),
        value_name = "HOST:PORT",
        value_parser = listen_address
    )]
    listen: String,
    #[command(flatten)]
    common: ServerArgs,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let listen = Address::new(self.listen, "--listen", "THREADLAB_LISTEN");
        let (metrics, config) = (
            self.common.metrics.address(|text| text),
            self.common.config()?,
        );
        serve::serve(self.flavor, &listen, &metrics, &config)
    }
}

/// Flags of every command that starts servers.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    pub(super) metrics: MetricsArgs,
    /// Number of threads of each server
    #[arg(
        long,
        env = "THREADLAB_THREADS",
        default_value_t = ServerConfig::default().threads,
        value_name = "N",
        value_parser = threads
    )]
    threads: NonZeroUsize,
    /// Maximum number of threads that each server thread has for blocking calls (/offloaded); further
    /// calls wait
    #[arg(
        long,
        env = "THREADLAB_POOL",
        default_value_t = ServerConfig::default().pool_threads,
        value_name = "N",
        value_parser = threads
    )]
    pool: NonZeroUsize,
    /// Number of connections that the kernel queues for each listening socket until a thread
    /// accepts them
    #[arg(
        long,
        env = "THREADLAB_BACKLOG",
        default_value_t = ServerConfig::default().backlog,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    backlog: u16,
    /// Keep connections to the synchronous server open between two requests, for --idle-timeout, without a thread for
    /// each; Linux only. By default each carries one request
    #[arg(long, env = "THREADLAB_KEEP_ALIVE", value_parser = switch)]
    keep_alive: bool,
    /// Maximum number of requests in flight on the asynchronous server; further requests get a 503
    #[arg(
        long,
        env = "THREADLAB_MAX_IN_FLIGHT",
        default_value_t = ServerConfig::default().max_in_flight,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    max_in_flight: u64,
    /// Maximum size of a request's first line and headers; a larger head gets a 431
    #[arg(
        long,
        env = "THREADLAB_MAX_HEAD_BYTES",
        default_value_t = ServerConfig::default().limits.max_head_bytes as u32,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(8192..=1_048_576)
    )]
    max_head_bytes: u32,
    /// Maximum size of a request's body; a larger body gets a 413
    #[arg(
        long,
        env = "THREADLAB_MAX_BODY_BYTES",
        default_value_t = BodyLimit::default().0,
        value_name = "BYTES"
    )]
    max_body_bytes: u64,
    /// Time for a client to send the head of a request, and again for its body; a slower one gets a
    /// 408
    #[arg(
        long,
        env = "THREADLAB_READ_TIMEOUT",
        default_value_t = SecondsArg(ServerConfig::default().limits.read_timeout),
        value_name = "SECONDS",
        value_parser = timeout
    )]
    read_timeout: SecondsArg,
    /// Time for a client to read data that is ready to be sent; after that its connection is closed
    #[arg(
        long,
        env = "THREADLAB_WRITE_TIMEOUT",
        default_value_t = SecondsArg(ServerConfig::default().limits.write_timeout),
        value_name = "SECONDS",
        value_parser = timeout
    )]
    write_timeout: SecondsArg,
    /// Time for which the asynchronous server, and with --keep-alive the synchronous one, keeps an idle connection open
    #[arg(
        long,
        env = "THREADLAB_IDLE_TIMEOUT",
        default_value_t = SecondsArg(ServerConfig::default().limits.idle_timeout),
        value_name = "SECONDS",
        value_parser = timeout
    )]
    idle_timeout: SecondsArg,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Links from the live page to other pages, separated by commas
    #[arg(
        long,
        env = "THREADLAB_LINKS",
        value_name = "NAME=URL",
        value_delimiter = ','
    )]
    links: Vec<Link>,
    /// Time for requests in flight to finish after SIGTERM or Ctrl-C
    #[arg(
        long,
        env = "THREADLAB_GRACE",
        default_value_t = SecondsArg(ServerConfig::default().grace),
        value_name = "SECONDS",
        value_parser = grace
    )]
    grace: SecondsArg,
}

impl ServerArgs {
    /// Returns the configuration of the servers.
    ///
    /// # Errors
    ///
    /// If the URL of the database is not valid.
    pub(super) fn config(&self) -> anyhow::Result<ServerConfig> {
        Ok(ServerConfig {
            threads: self.threads,
            pool_threads: self.pool,
            backlog: self.backlog,
            keep_alive: self.keep_alive,
            max_in_flight: self.max_in_flight,
            limits: ClientLimits {
                max_head_bytes: self.max_head_bytes as usize,
                read_timeout: self.read_timeout.0,
                write_timeout: self.write_timeout.0,
                idle_timeout: self.idle_timeout.0,
            },
            body_limit: BodyLimit(self.max_body_bytes),
            database: self.database.config()?,
            metrics_names: self.metrics.metrics_names.clone(),
            links: self.links.clone(),
            grace: self.grace.0,
        })
    }
}
