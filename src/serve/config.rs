//! Configuration of a process and its servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::address::Address;
use crate::database::DatabaseConfig;
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
    /// Keeps connections to the synchronous server open between two requests. Default: false.
    pub keep_alive: bool,
    /// Maximum number of requests in flight on an asynchronous server; further requests get a 503.
    /// Default: 12,000, which with 2,000 further connections need 400 MiB.
    pub max_in_flight: u64,
    /// Sizes and timeouts of a client's connection.
    pub limits: gateway::ClientLimits,
    /// Maximum size of a request body.
    pub body_limit: app::BodyLimit,
    /// Database of the endpoints below `/database`.
    pub database: DatabaseConfig,
    /// Names with a dot by which clients may address the metrics port. Default: none.
    pub metrics_names: Vec<String>,
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
            keep_alive: gateway.keep_alive,
            max_in_flight: 12_000,
            limits: gateway.limits,
            body_limit: app::BodyLimit::default(),
            database: DatabaseConfig::default(),
            metrics_names: Vec::new(),
            links: Vec::new(),
            grace: Duration::from_secs(30),
        }
    }
}

impl ServerConfig {
    /// Connections that an asynchronous server serves at once: more than requests, to respond with a 503
    /// to further requests, and for connections that are idle or have not sent a whole head. A synchronous
    /// server keeps as many idle ones, if it keeps any.
    pub(super) fn connections(&self) -> NonZeroUsize {
        const BESIDE_REQUESTS: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();

        let requests = usize::try_from(self.max_in_flight).unwrap_or(usize::MAX);
        BESIDE_REQUESTS.saturating_add(requests)
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
