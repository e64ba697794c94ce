//! A deployment lab that shows where a server thread's time goes. The thread accounting itself is the
//! crate [`thread_states`].
//!
//! # Layout
//!
//! The way of a request:
//!
//! * [`proxy`]: the embedded front, in nginx's place
//! * [`gateway`]: owns sockets and threads, calls the app; one synchronous, one asynchronous
//! * [`app`]: the framework layer, one `Router` for both gateways
//! * `wire`: what the gateways and the front share below HTTP
//!
//! The way of a measurement, after [`thread_states`]:
//!
//! * [`metrics`]: the metrics that only the lab has
//! * `watch`: thread states of any process, from outside
//! * [`live`]: thread states as server-sent events, and the page that draws them
//!
//! Experiments:
//!
//! * [`experiment`]: predictions, and what a running lab then shows
//!
//! What puts them together:
//!
//! * [`flavor`]: synchronous or asynchronous
//! * [`serve`]: the composition root
//! * [`cli`]: commands and flags

#![cfg(unix)]

pub mod app;
pub mod cli;
pub mod experiment;
pub mod flavor;
pub mod gateway;
pub mod live;
pub mod metrics;
pub mod proxy;
pub mod serve;
#[cfg(target_os = "linux")]
pub mod watch;
mod wire;
