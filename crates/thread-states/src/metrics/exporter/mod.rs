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
//! let (shop, admin) = (Metrics::new("shop")?, Metrics::new("admin")?);
//! let routes = exporter::routes(Exposition::new([shop, admin])?);
//! let exporter = exporter::spawn(TcpListener::bind("127.0.0.1:0")?, routes)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * `routes`: `/metrics` and `/healthz`
//! * `readiness`: `/readyz`
//! * `server`: the thread that accepts connections
//! * `running`: its handle
//! * `connections`: the open connections and their limits
//! * `client_stream`: a client's socket below hyper
//! * `request_rules`: requests that are rejected before any route sees them
//! * `spare`: file descriptors for a scrape when the process has no others left

mod client_stream;
mod connections;
mod readiness;
mod request_rules;
mod routes;
mod running;
mod server;
mod spare;

pub use readiness::{Readiness, readiness_route};
pub use routes::routes;
pub use running::Exporter;
pub use server::{spawn, spawn_for_names};
