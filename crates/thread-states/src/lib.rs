//! Thread accounting for servers: the time of each server thread in five states, and the routes that
//! hold the threads, as Prometheus metrics.
//!
//! Three lines add it to an axum server:
//!
//! ```
//! use axum::{Router, routing::get};
//! use thread_states::Metrics;
//! use tokio::runtime::Builder;
//!
//! let metrics = Metrics::new("shop")?;
//! let runtime = metrics.instrument(Builder::new_multi_thread().enable_all()).build()?;
//! let app: Router = Router::new().route("/", get(async || "hello")).layer(metrics.layer());
//! let exporter = metrics.export("127.0.0.1:0")?; // `/metrics`, on a thread of its own
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The counters come from Linux. On other systems everything compiles, and [`supported`] returns an
//! error that says so.
//!
//! # Layout
//!
//! * `accounting`: the state of each thread, and for how long; its public items are at the root
//! * [`metrics`]: the list of metrics, the request layer, the collector, the exporter
//! * [`problem`]: error responses of the exporter (RFC 9457)

mod accounting;
pub mod metrics;
pub mod problem;

pub use accounting::{
    Cursor, ENTRIES, Held, HoldEnd, HoldGuard, HoldStart, InFlight, InFlightGuard, MOST_NEW_ROUTES,
    Nanos, NewRequest, OTHER, OpenEntry, OsThread, Parked, Reading, Registration, Registry,
    RequestEnd, RequestLog, RequestRecord, RouteReading, Routes, State, ThreadReading, Times,
    Timestamp, Unsupported, Workers, held, hold, hold_at, index, park, parked, release_at,
    supported, unpark,
};
pub use metrics::Metrics;

// Compiles and runs the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
