//! The embedded front: a small reverse proxy in nginx's place, for the lab in one process.
//!
//! It has the routes and the habits of the nginx in `nginx/`, and one suite of tests holds both to
//! them. A request passes through these files:
//!
//! * `server`: the front's thread accepts connections
//! * `connection`: one client's connection, from accept to close
//! * `client_stream`: the client's socket under hyper, with a JSON refusal and a soft close
//! * `exchange`: one request and its answer
//! * `routes`: which path goes where
//! * `assets`: the live page, answered from memory
//! * `headers`: what is dropped and what is added on the way
//! * `upstream`: the servers behind, and what can go wrong with them
//! * `refusal`: what the front refuses, and how it says so
//!
//! ```no_run
//! use std::time::Duration;
//! use threadlab::proxy::{self, Config, Target, Upstream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bound = proxy::bind("127.0.0.1:8080".parse()?)?;
//! let config = Config::new(vec![Upstream {
//!     name: "sync",
//!     server: "127.0.0.1:8000".parse()?,
//!     keep_alive: false,
//!     threads: Target::new("127.0.0.1:9100".parse()?, "/threads/stream?server=sync"),
//! }]);
//! let front = proxy::spawn(bound, config)?;
//! front.shutdown();
//! assert!(front.join(Duration::from_secs(30)));
//! # Ok(())
//! # }
//! ```

mod assets;
mod bare_refusal;
mod client_stream;
mod config;
mod connection;
mod exchange;
mod headers;
mod refusal;
mod routes;
mod server;
mod stop;
mod upstream;

pub use config::{Asset, Config, Limits, Target, Timeouts, Upstream};
pub use server::{BindError, Bound, Running, bind, spawn};

/// The body of every request to a server and of every answer to a client.
type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, tower::BoxError>;
