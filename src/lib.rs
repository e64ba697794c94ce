//! A deployment lab that shows where a server thread's time goes.
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
