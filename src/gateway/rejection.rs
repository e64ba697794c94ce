//! Responses that the gateway sends without calling the app, because a head was malformed, too large,
//! too slow or against the rules of `wire::check_head`.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::connection_state::ConnectionState;
use super::{ClientLimits, memory};
use crate::wire::{self, HeadError, HeadLimits};
use thread_states::problem::Problem;

/// Returns the gateway's own response on a connection that ended with `result`, if one is due;
/// `unparsed` are the bytes that hyper did not use.
pub(super) fn reply(
    state: &ConnectionState,
    result: &hyper::Result<()>,
    unparsed: &[u8],
    limits: &ClientLimits,
) -> Option<Bytes> {
    let head_error = result
        .as_ref()
        .err()
        .and_then(|error| wire::find_cause::<HeadError>(error))
        .filter(|_| state.is_head_rejected());
    let problem = match head_error {
        Some(error) => Problem::new(error.status(), error.to_string()),
        None => {
            let status = wire::parse_status(state.error_status(), result, unparsed)?;
            Problem::new(status, detail(status, limits))
        }
    };
    let is_busy = problem.status == StatusCode::SERVICE_UNAVAILABLE;
    let retry_after = is_busy.then(|| (RETRY_AFTER, HeaderValue::from_static("1")));
    Some(wire::error_reply(&problem, retry_after.as_slice()))
}

fn detail(status: StatusCode, limits: &ClientLimits) -> String {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let (max, bytes) = (limits.large_heads(), memory::SMALL_HEAD);
        return format!(
            "The server holds {max} heads above {bytes} bytes, its maximum; try again later."
        );
    }
    if status == StatusCode::REQUEST_TIMEOUT {
        let seconds = limits.read_timeout.as_secs_f64();
        return format!("The head of the request did not arrive within {seconds} s.");
    }
    wire::detail(status, HeadLimits::of_hyper(limits.max_head_bytes))
}
