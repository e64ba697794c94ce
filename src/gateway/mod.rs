//! Gateways own sockets and threads and call the app, as WSGI and ASGI servers do in Python.
//!
//! There are two, [`synchronous`] and [`asynchronous`]. They have the same functions,
//! so that a comparison of the two shows the one difference: whether a thread waits with its request. What the
//! synchronous one has besides keeps its idle connections, for which the other one has its event loop.
//! Both use hyper's HTTP/1 server and call any [`App`]. They share:
//!
//! * `config`: address, threads and limits
//! * `running`: the threads, and the handle to them
//! * `shutdown`: the signal that ends them
//! * `listener`: listening sockets and their accept queues
//! * `connection_state`: which request or response the bytes of a connection belong to
//! * `service`, `body`: the app as a hyper service, and the bodies that report to the connection state
//! * `client_connection`, `tcp_info`: whether a request's client has left
//! * `response_parts`: a response as bytes to send
//! * `memory`: memory for the connections of the asynchronous gateway
//! * `rejection`: responses to malformed, oversized and slow heads, which never reach the app
//!
//! ```no_run
//! # fn start(app: axum::Router, registry: thread_states::Registry)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use threadlab::gateway::{GatewayConfig, synchronous};
//!
//! let bound = synchronous::bind(&GatewayConfig::new(([127, 0, 0, 1], 8000).into()))?;
//! let server = synchronous::spawn(bound, app, registry, "sync")?;
//! println!("{} {:?}", server.local_addr(), server.accept_queue());
//! server.shutdown();
//! assert!(server.join(Duration::from_secs(30)), "requests are still in flight");
//! # Ok(())
//! # }
//! ```

pub mod asynchronous;
mod body;
mod client_connection;
mod config;
mod connection_state;
mod listener;
mod memory;
mod rejection;
mod response_parts;
mod running;
mod service;
mod shutdown;
pub mod synchronous;
#[cfg(target_os = "linux")]
mod tcp_info;
#[cfg(not(target_os = "linux"))]
mod tcp_info {
    /// Returns false: only Linux reports when a client left.
    pub(super) fn is_abandoned(_: impl std::os::fd::AsFd) -> bool {
        false
    }
}

pub use client_connection::ClientConnection;
pub use config::{ClientLimits, GatewayConfig};
pub use listener::BoundGateway;
pub use running::RunningGateway;
pub use service::App;

pub use crate::metrics::AcceptQueue;
pub use crate::wire::BindError;
