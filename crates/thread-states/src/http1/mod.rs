//! Rules of HTTP/1.1 that hyper does not enforce, for everything that parses a request's head: the exporter, and the
//! gateways and the front of the lab.
//!
//! * `head`: rules for the head of a request that hyper has parsed
//! * `error_reply`: error responses written as bytes, for requests that hyper cannot parse
//! * `close`: lingering close of a client's connection

mod close;
mod error_reply;
mod head;

pub use close::{close, must_linger};
pub use error_reply::{HeadLimits, detail, error_reply, hyper_status, parse_status};
pub use head::{HeadError, check_head};
