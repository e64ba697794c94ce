//! Code below HTTP that the gateways and the embedded front share.
//!
//! * `accept`: delays between two calls of `accept`
//! * `bind_error`: error of a listener that cannot be bound
//! * `close`: lingering close of a client's connection
//! * `error_chain`: search in the sources of an error
//! * `error_reply`: error responses written as bytes, for requests that hyper cannot parse
//! * `head`: rules for the head of a request that hyper does not check
//!
//! A leaf: it knows neither the gateways nor the front.

mod accept;
mod bind_error;
mod close;
mod error_chain;
mod error_reply;
mod head;

pub(crate) use accept::{backoff, is_last, scarcity};
pub use bind_error::BindError;
pub(crate) use close::{close, must_linger};
pub(crate) use error_chain::find_cause;
pub(crate) use error_reply::{HeadLimits, detail, error_reply, hyper_status, parse_status};
pub(crate) use head::{HeadError, check_head};
