//! Gateways: they own sockets and threads and call the app, as WSGI and ASGI servers do in Python.
//!
//! There are two, [`synchronous`] and [`asynchronous`], with the same functions and the same files,
//! so that the difference between them is what the eye sees: who waits. Both use hyper's HTTP/1
//! engine and call any [`App`]. What they share:
//!
//! * `config`: what to listen on, and the limits
//! * `running`: the threads, and the handle to them
//! * `listener`: bound sockets and their accept queues
//! * `shutdown`: the wish to end, and who has not ended yet
//! * `exchange`: where a connection is between a request and its answer
//! * `service`, `body`: the app as hyper calls it, and the bodies that report to the exchange
//! * `refusal`: the answers that no app gives: to malformed, oversized and slow requests
//!
//! ```no_run
//! # fn start(app: axum::Router, registry: threadlab::thread_states::Registry)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use threadlab::gateway::{Config, synchronous};
//!
//! let bound = synchronous::bind(&Config::new(([127, 0, 0, 1], 8000).into()))?;
//! let server = synchronous::spawn(bound, app, registry, "sync")?;
//! println!("{} {:?}", server.local_addr(), server.accept_queue());
//! server.shutdown();
//! assert!(server.join(Duration::from_secs(30)), "requests are still in flight");
//! # Ok(())
//! # }
//! ```

pub mod asynchronous;
mod body;
mod config;
mod exchange;
mod listener;
mod refusal;
mod running;
mod service;
mod shutdown;
pub mod synchronous;

pub use body::RequestBody;
pub use config::{Config, Limits, POOL_THREADS};
pub use listener::{AcceptQueue, BindError, Bound};
pub use running::Running;
pub use service::App;
