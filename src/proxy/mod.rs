//! Embedded front: a small reverse proxy in place of nginx, for the lab in one process.
//!
//! It has the routes and the behavior of the nginx in `nginx/`; one test suite covers both. A request
//! passes through these files:
//!
//! * `server`: the thread that accepts connections
//! * `connection`: one client's connection, from accept to close
//! * `activity`: what the connection is doing
//! * `client_stream`: the client's socket below hyper
//! * `service`: one request and its response
//! * `routes`: destinations of paths
//! * `assets`: files of the live page
//! * `body`: bodies on their way through the front
//! * `headers`: header fields that are removed and added
//! * `upstream`: client for the servers behind the front
//! * `rejection`: error responses
//!
//! ```no_run
//! use std::time::Duration;
//! use threadlab::proxy::{self, ProxyConfig, ServerPath, Upstream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bound = proxy::bind("127.0.0.1:8080".parse()?)?;
//! let config = ProxyConfig::new(vec![Upstream {
//!     name: "sync",
//!     server: "127.0.0.1:8000".parse()?,
//!     keep_alive: false,
//!     threads: ServerPath::new("127.0.0.1:9100".parse()?, "/threads/stream?server=sync"),
//! }]);
//! let front = proxy::spawn(bound, config)?;
//! front.shutdown();
//! assert!(front.join(Duration::from_secs(30)));
//! # Ok(())
//! # }
//! ```

mod activity;
mod assets;
mod body;
mod client_stream;
mod config;
mod connection;
mod headers;
mod rejection;
mod routes;
mod server;
mod service;
mod upstream;

pub use config::{Asset, ProxyConfig, RequestLimits, ServerPath, Timeouts, Upstream};
pub use server::{BoundProxy, RunningProxy, bind, spawn};

pub use crate::wire::BindError;
