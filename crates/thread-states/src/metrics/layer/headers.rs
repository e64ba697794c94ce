//! Request headers that the layer reads.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};

/// Time at which the request arrived at the front.
const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest time in a queue that is plausible: fronts give up after minutes, so a header with a longer
/// one means something else.
const LONGEST_QUEUE: Duration = Duration::from_secs(3_600);

/// Returns how long the request waited for a thread, if the front sent
/// `X-Request-Start: t=1700000000.123`, in seconds since 1970 (nginx: `t=${msec}`). It is 0 if the
/// front's clock is ahead of ours; `None` if the wait is longer than an hour.
pub(super) fn queued(headers: &HeaderMap) -> Option<Duration> {
    let start = headers
        .get(REQUEST_START)?
        .to_str()
        .ok()?
        .strip_prefix("t=")?;
    let start = Duration::try_from_secs_f64(start.parse().ok()?).ok()?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    Some(now.saturating_sub(start)).filter(|queued| *queued <= LONGEST_QUEUE)
}

/// Returns the number by which a client finds its own requests in the request log: an `X-Request-ID`
/// of exactly 16 hexadecimal digits, as the live page sends; 0 for any other.
pub(super) fn tag(headers: &HeaderMap) -> u64 {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    id.filter(|id| id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|id| u64::from_str_radix(id, 16).ok())
        .unwrap_or(0)
}
