//! The metrics port: an HTTP server on an OS thread of its own, so that `/metrics` and the health
//! checks respond while every server thread is blocked.
//!
//! [`Metrics::export`](super::Metrics::export) starts it for one server. For several servers, or for
//! additional routes, build the router and start it yourself:
//!
//! ```
//! use std::net::TcpListener;
//! use thread_states::metrics::{Exposition, Metrics, exporter};
//!
//! let (shop, admin) = (Metrics::new("shop"), Metrics::new("admin"));
//! let routes = exporter::routes(Exposition::new([shop, admin])?);
//! let exporter = exporter::spawn(TcpListener::bind("127.0.0.1:0")?, routes)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * `pages`: `/metrics` and `/healthz`
//! * `page_body`: the body of `/metrics`, which is written while it is sent
//! * `routes`: the same as routes of an axum router, to which others can be added
//! * `readiness`: `/readyz`
//! * `server`: the thread that accepts connections
//! * `running`: its handle
//! * `connections`: the open connections and their limits
//! * `client_stream`: a client's socket below hyper
//! * `request_rules`: requests that are rejected before any route sees them
//! * `spare`: file descriptors for a scrape when the process has no others left

mod client_stream;
mod connections;
mod page_body;
mod pages;
#[cfg(feature = "axum")]
mod readiness;
mod request_rules;
#[cfg(feature = "axum")]
mod routes;
mod running;
mod server;
mod spare;

#[cfg(feature = "axum")]
pub use readiness::{Readiness, readiness_route};
#[cfg(feature = "axum")]
pub use routes::{routes, spawn, spawn_for_names};
pub use running::Exporter;

use std::fmt;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};

use self::connections::ConnectionLimits;
use self::pages::Pages;
use self::request_rules::RequestRules;
use super::exposition::Exposition;
use super::server_metrics::Metrics;

impl Metrics {
    /// Serves these metrics and the `process_*` metrics at `/metrics`, on an OS thread and a port of its own,
    /// until [`Exporter::stop`] or the end of the process.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if it cannot be bound or the thread cannot be started.
    pub fn export(&self, address: impl ToSocketAddrs + fmt::Debug) -> io::Result<Exporter> {
        let exposition = Exposition::new([self.clone()]).map_err(io::Error::other)?;
        exposition.export(address)
    }
}

impl Exposition {
    /// Serves these metrics at `/metrics`, on an OS thread and a port of its own, until [`Exporter::stop`] or
    /// the end of the process.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if it cannot be bound or the thread cannot be started.
    pub fn export(self, address: impl ToSocketAddrs + fmt::Debug) -> io::Result<Exporter> {
        let name = format!("{address:?}");
        let export = || {
            let (pages, limits) = (Pages::new(self), ConnectionLimits::default());
            server::start(
                TcpListener::bind(address)?,
                pages,
                RequestRules::default(),
                limits,
            )
        };
        export().map_err(|error| {
            let message = format!(
                "cannot serve metrics on {}: {error}",
                name.trim_matches('"')
            );
            io::Error::new(error.kind(), message)
        })
    }
}
