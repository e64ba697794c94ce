//! Where does a server thread's time go? A thread accounting that tells, and a deployment lab that
//! shows it.
//!
//! # In your own server
//!
//! Without default features the crate is the accounting alone: [`Metrics`], and what it is made of,
//! [`thread_state`] and [`metrics`]. Three lines put it into an axum server:
//!
//! ```
//! use axum::{Router, routing::get};
//! use threadlab::Metrics;
//! use tokio::runtime::Builder;
//!
//! let metrics = Metrics::new("shop")?;
//! let runtime = metrics.instrument(Builder::new_multi_thread().enable_all()).build()?;
//! let app: Router = Router::new().route("/", get(async || "hello")).layer(metrics.layer());
//! let address = metrics.export("127.0.0.1:0")?; // `/metrics`, on a thread of its own
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `docs/in-your-service.md` goes on from here to dashboard and alerts. What a thread does is told by
//! Linux; on other systems everything compiles, and [`thread_state::supported`] says what is missing.
//!
//! # Features
//!
//! * `lab` (default): the servers, the front, the live page, the experiments and the command
//!   `threadlab`. It needs a Unix.
//!
//! # Layout
//!
//! The way of a request:
//!
//! * [`proxy`]: the embedded front, in nginx's place
//! * [`gateway`]: owns sockets and threads, calls the app; one synchronous, one asynchronous
//! * [`app`]: the framework layer, one `Router` for both gateways
//! * [`problem`]: the one shape of every error answer
//!
//! The way of a measurement:
//!
//! * [`thread_state`]: what each server thread is doing, and for how long
//! * [`metrics`]: the list of metrics, the layer around the app, the exporter
//! * [`live`]: the same states as server-sent events, and the page that draws them
//!
//! What puts it to the test:
//!
//! * [`experiment`]: predictions, and what a lab then shows
//!
//! What puts them together:
//!
//! * [`serve`]: the composition root
//! * [`cli`]: commands and flags

#![cfg_attr(
    not(all(feature = "lab", unix)),
    allow(rustdoc::broken_intra_doc_links, reason = "the map names the lab, too")
)]

#[cfg(all(feature = "lab", unix))]
pub mod app;
#[cfg(all(feature = "lab", unix))]
pub mod cli;
#[cfg(all(feature = "lab", unix))]
pub mod experiment;
#[cfg(all(feature = "lab", unix))]
pub mod gateway;
#[cfg(all(feature = "lab", unix))]
pub mod live;
pub mod metrics;
pub mod problem;
#[cfg(all(feature = "lab", unix))]
pub mod proxy;
#[cfg(all(feature = "lab", unix))]
pub mod serve;
pub mod thread_state;

pub use metrics::Metrics;
