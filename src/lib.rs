//! A deployment lab that shows where the time of server threads goes. The thread accounting itself is
//! the crate [`thread_states`].
//!
//! # Layout
//!
//! Path of a request:
//!
//! * [`proxy`]: the embedded front, which replaces nginx in the one-process lab
//! * [`gateway`]: owns sockets and threads, calls the app; one synchronous, one asynchronous
//! * [`app`]: the application, one `Router` for both gateways
//! * [`database`]: the drivers and connection pools of the app's queries
//! * `wire`: code below HTTP that gateways and front share
//!
//! Path of a measurement, after [`thread_states`]:
//!
//! * [`metrics`]: metrics of the lab only
//! * `watch`: thread states of any process, from outside
//! * [`live`]: thread states as server-sent events, and the page that draws them
//!
//! Experiments:
//!
//! * [`experiment`]: predictions, tested on a running lab
//!
//! Composition:
//!
//! * [`flavor`]: synchronous or asynchronous
//! * `html`: text within HTML, for [`live`] and [`experiment`]
//! * [`serve`]: the composition root
//! * [`cli`]: commands and flags

#![cfg(unix)]

pub mod app;
pub mod cli;
pub mod database;
pub mod experiment;
pub mod flavor;
pub mod gateway;
mod html;
pub mod live;
pub mod metrics;
pub mod proxy;
pub mod serve;
#[cfg(target_os = "linux")]
pub mod watch;
mod wire;
