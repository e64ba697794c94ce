//! Code below HTTP that the gateways and the embedded front share.
//!
//! * `accept`: delays between two calls of `accept`
//! * `coarse_instant`: a clock that is faster to read than the exact one
//! * `bind_error`: error of a listener that cannot be bound
//! * `error_chain`: search in the sources of an error
//! * `last_look`: the last look at a socket before a deadline counts as missed, or a connection as idle
//!
//! The rules of HTTP/1.1 are those of the metrics port, [`thread_states::http1`].
//!
//! A leaf: it knows neither the gateways nor the front.

mod accept;
mod bind_error;
mod coarse_instant;
mod error_chain;
mod last_look;

pub(crate) use accept::{backoff, is_last, scarcity};
pub use bind_error::BindError;
pub(crate) use coarse_instant::CoarseInstant;
pub(crate) use error_chain::find_cause;
pub(crate) use last_look::{LAST_LOOK, finish};
pub(crate) use thread_states::http1::{
    HeadError, HeadLimits, check_head, close, detail, error_reply, hyper_status, must_linger,
    parse_status,
};
