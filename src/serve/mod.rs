//! The composition root: the only place where app, gateways, front, metrics and live page meet.
//!
//! * `process`: starts the servers, the exporter and the front of one process, and ends them
//! * `layers`: the middleware around the app
//! * `overload`: the limit on requests in flight
//! * `address`: listening on an address from the command line
//! * `announce`: the text printed at the start
//! * `signals`: SIGTERM and Ctrl-C
//! * `watch`: a process that watches others

mod address;
mod announce;
mod layers;
mod overload;
mod process;
mod signals;
#[cfg(target_os = "linux")]
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

pub use self::address::Address;
use self::announce::Endpoints;
pub use self::layers::{request_layer, stack};
use self::process::Process;
use self::signals::Signals;
#[cfg(target_os = "linux")]
pub use self::watch::watch;
use crate::flavor::Flavor;
use crate::{app, gateway, live};

/// Configuration that all servers of a process share. The defaults are those of the gateway and of
/// the app; the command line takes them from here.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Threads of each server.
    pub threads: NonZeroUsize,
    /// Maximum number of threads of each server thread's blocking pool.
    pub pool_threads: NonZeroUsize,
    /// Connections that the kernel queues for a listening socket until a thread accepts them.
    pub backlog: u16,
    /// Maximum number of requests in flight on an asynchronous server; further requests get a 503.
    /// Default: 20,000.
    pub max_in_flight: u64,
    /// Sizes and timeouts of a client's connection.
    pub limits: gateway::ClientLimits,
    /// Maximum size of a request body.
    pub body_limit: app::BodyLimit,
    /// Links from the live page to other pages. Default: none.
    pub links: Vec<live::Link>,
    /// Time that requests in flight have to finish after the first signal. Default: 30 s.
    pub grace: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        // The address does not matter: only the defaults beside it are used.
        let gateway = gateway::GatewayConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self {
            threads: gateway.threads,
            pool_threads: gateway.pool_threads,
            backlog: gateway.backlog,
            max_in_flight: 20_000,
            limits: gateway.limits,
            body_limit: app::BodyLimit::default(),
            links: Vec::new(),
            grace: Duration::from_secs(30),
        }
    }
}

/// Addresses of the lab in one process.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The front.
    pub front: Address,
    /// The synchronous server.
    pub sync: Address,
    /// The asynchronous server.
    pub r#async: Address,
    /// The metrics of both servers.
    pub metrics: Address,
}

/// Runs one server until a signal ends it.
///
/// # Errors
///
/// When an address is taken or a thread cannot be started.
pub fn serve(
    flavor: Flavor,
    listen: &Address,
    metrics: &Address,
    config: &ServerConfig,
) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    raise_file_limit();
    let mut process = Process::new(metrics)?;
    let bound = process::bind_server(flavor, listen, config)?;
    let server = process.start_server(flavor, bound, config)?;
    let metrics = process.start_exporter(&config.links, Some(&listen.text))?;
    announce::server(flavor, server, metrics);
    process.run(signals, config.grace)
}

/// Runs the whole lab in this process until a signal ends it: both servers, the front, the metrics.
///
/// # Errors
///
/// When an address is taken or a thread cannot be started.
pub fn up(addresses: &Addresses, config: &ServerConfig) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    raise_file_limit();
    // All addresses are bound before any thread starts, so that a taken port leaves nothing behind.
    let mut process = Process::new(&addresses.metrics)?;
    let front = process::bind_front(&addresses.front)?;
    let sync = process::bind_server(Flavor::Sync, &addresses.sync, config)?;
    let r#async = process::bind_server(Flavor::Async, &addresses.r#async, config)?;

    let sync = process.start_server(Flavor::Sync, sync, config)?;
    let r#async = process.start_server(Flavor::Async, r#async, config)?;
    let metrics = process.start_exporter(&config.links, None)?;
    let upstreams = [(Flavor::Sync, sync), (Flavor::Async, r#async)];
    let front = process.start_front(front, upstreams, metrics)?;
    announce::lab(&Endpoints {
        front,
        sync,
        r#async,
        metrics,
        threads: config.threads,
    });
    process.run(signals, config.grace)
}

/// Raises the limit on open files to the maximum allowed: each request in flight needs one.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(error = %std::io::Error::from(error), "could not raise the open-file limit");
    }
}
