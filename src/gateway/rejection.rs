//! Responses that the gateway sends without calling the app, because a head was malformed, too large
//! or too slow.

use bytes::Bytes;
use http::StatusCode;

use super::Limits;
use super::connection_state::ConnectionState;
use crate::wire::{self, HeadLimits};
use thread_states::problem::Problem;

/// Longest target that hyper accepts, in bytes: the `http` crate stores its length in a `u16`.
const MAX_TARGET_BYTES: usize = u16::MAX as usize - 1;

/// Returns the gateway's own response on a connection that ended with `result`, if one is due.
pub(super) fn reply(
    state: &ConnectionState,
    result: &hyper::Result<()>,
    limits: &Limits,
) -> Option<Bytes> {
    let is_http2 = result
        .as_ref()
        .is_err_and(hyper::Error::is_parse_version_h2);
    let status = match state.error_status() {
        Some(status) => status,
        // The one parse error to which hyper does not respond.
        None if is_http2 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        None => return None,
    };
    let problem = Problem::new(status, detail(status, limits));
    Some(wire::error_reply(&problem, &[]))
}

fn detail(status: StatusCode, limits: &Limits) -> String {
    if status == StatusCode::REQUEST_TIMEOUT {
        let seconds = limits.read_timeout.as_secs_f64();
        return format!("The head of the request did not arrive within {seconds} s.");
    }
    let limits = HeadLimits {
        bytes: limits.max_head_bytes,
        target: MAX_TARGET_BYTES,
    };
    wire::detail(status, limits)
}
