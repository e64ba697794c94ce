//! The metrics port: an HTTP server on an OS thread of its own, so that `/metrics` and the health
//! checks respond while every server thread is blocked.
//!
//! [`Metrics::export`](super::Metrics::export) starts it for one server. For several servers, or for
//! additional routes, build the router and start it yourself:
//!
//! ```
//! use std::net::TcpListener;
//! use thread_states::metrics::{self, Metrics, exporter};
//!
//! let (shop, admin) = (Metrics::new("shop")?, Metrics::new("admin")?);
//! let routes = exporter::routes(metrics::registry([shop, admin])?);
//! let address = exporter::spawn(TcpListener::bind("127.0.0.1:0")?, routes)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * `routes`: `/metrics` and `/healthz`
//! * `readiness`: `/readyz`
//! * `server`: the thread, its limits, error responses

mod readiness;
mod routes;
mod server;

pub use readiness::{Readiness, readiness_route};
pub use routes::routes;
pub use server::spawn;
