//! The composition root: the only place where app, gateways, front, metrics and live page meet.
//!
//! * `process`: starts the servers, the exporter and the front of one process, and ends them
//! * `layers`: the middleware around the app
//! * `health`: responses to the probes of a front
//! * `request_id`: the request ID of a response
//! * `overload`: the limit on requests in flight
//! * `abandonment`: requests whose client has left
//! * `request_queue`: readers of the requests that no thread has taken yet
//! * `config`: configuration of a process and its servers
//! * `address`: addresses from the command line, and how this machine reaches them
//! * `subnet`: subnets in the place of a host
//! * `file_limit`: limit on open files
//! * `memory`: memory that is returned after a burst of connections
//! * `announce`: the text printed at the start
//! * `signals`: SIGTERM and Ctrl-C
//! * `watch`: a process that watches others

mod abandonment;
mod address;
mod announce;
mod config;
mod file_limit;
mod health;
mod layers;
mod memory;
mod overload;
mod process;
mod request_id;
mod request_queue;
mod signals;
mod subnet;
#[cfg(target_os = "linux")]
mod watch;

use std::process::ExitCode;

pub use self::address::Address;
use self::announce::Endpoints;
pub use self::config::{Addresses, ServerConfig};
pub(crate) use self::file_limit::raise_file_limit;
pub use self::layers::{request_layer, stack, unmeasured_stack};
use self::process::Process;
use self::signals::Signals;
pub(crate) use self::subnet::SubnetAndPort;
#[cfg(target_os = "linux")]
pub use self::watch::watch;
use crate::flavor::Flavor;

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
    memory::keep_little();
    let signals = Signals::catch()?;
    raise_file_limit();
    let mut process = Process::new(metrics)?;
    let bound = process::bind_server(flavor, listen, config)?;
    let server = process.start_server(flavor, bound, config)?;
    let metrics = process.start_exporter(config, Some(&listen.text))?;
    process.set_ready();
    announce::server(flavor, server, metrics);
    memory::return_after_bursts(process.request_queues());
    process.run(signals, config.grace)
}

/// Runs the whole lab in this process until a signal ends it: both servers, the front, the metrics.
///
/// # Errors
///
/// When an address is taken or a thread cannot be started.
pub fn up(addresses: &Addresses, config: &ServerConfig) -> anyhow::Result<ExitCode> {
    memory::keep_little();
    let signals = Signals::catch()?;
    raise_file_limit();
    // All addresses are bound before any thread starts, so that a taken port leaves nothing behind.
    let mut process = Process::new(&addresses.metrics)?;
    let front = process::bind_front(&addresses.front)?;
    let sync = process::bind_server(Flavor::Sync, &addresses.sync, config)?;
    let r#async = process::bind_server(Flavor::Async, &addresses.r#async, config)?;

    let sync = process.start_server(Flavor::Sync, sync, config)?;
    let r#async = process.start_server(Flavor::Async, r#async, config)?;
    let metrics = process.start_exporter(config, None)?;
    let upstreams = [(Flavor::Sync, sync), (Flavor::Async, r#async)];
    let front = process.start_front(front, upstreams, metrics, config)?;
    process.set_ready();
    announce::lab(&Endpoints {
        front,
        sync,
        r#async,
        metrics,
        threads: config.threads,
    });
    memory::return_after_bursts(process.request_queues());
    process.run(signals, config.grace)
}
