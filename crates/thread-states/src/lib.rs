//! Thread accounting for servers: the time of each server thread in five states, and the routes that
//! hold the threads, as Prometheus metrics.
//!
//! Three lines add it to an axum server:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use thread_states::Metrics;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let metrics = Metrics::new("shop"); // 1
//!     metrics.export("127.0.0.1:9100")?; // `/metrics`, on a thread of its own
//!     metrics.run(async { // 2, in place of `#[tokio::main]`
//!         let app = Router::new().route("/", get(async || "hello")).layer(metrics.layer()); // 3
//!         let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!         Ok(axum::serve(listener, app).await?)
//!     })?
//! }
//! ```
//!
//! The counters come from Linux. On other systems everything compiles, and [`supported`] returns an
//! error that says so.
//!
//! # Layout
//!
//! * `accounting`: the state of each thread, and for how long; its public items are at the root
//! * [`metrics`]: the list of metrics, the request layer, the collector, the exporter
//! * [`waits`]: what blocked threads wait for
//! * [`problem`]: error responses of the exporter (RFC 9457)
//! * `http1`: rules of HTTP/1.1 that hyper does not enforce
//! * `status`: a status that HTTP does not define
//!
//! The features are listed in the README.

mod accounting;
#[cfg(target_os = "linux")]
mod descriptor_limit;
// For the lab's gateways and front. It may change in any version.
#[cfg(feature = "exporter")]
#[doc(hidden)]
pub mod http1;
pub mod metrics;
#[cfg(feature = "exporter")]
pub mod problem;
mod status;
pub mod waits;

pub use accounting::{
    Held, HoldGuard, InFlight, InFlightGuard, MOST_NEW_ROUTES, Nanos, OTHER, OsThread, Parked,
    Reading, Registration, Registry, RequestsInFlight, RouteReading, Routes, State, ThreadReading,
    Times, Timestamp, Unsupported, Workers, held, hold, index, park, parked, spawn_blocking,
    supported, unpark,
};
// What the lab's gateways, live page and benchmarks are built on. It may change in any version.
#[doc(hidden)]
pub use accounting::{
    Cursor, ENTRIES, HoldEnd, HoldStart, NewRequest, OpenEntry, RequestEnd, RequestLog,
    RequestRecord, hold_at, release_at,
};
pub use metrics::Metrics;

// Compiles and runs the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
