//! Request headers that the layer reads.

use http::{HeaderMap, HeaderName};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the number by which a client finds its own requests in the request log: an `X-Request-ID`
/// of exactly 16 hexadecimal digits, as the live page sends; 0 for any other.
pub(super) fn tag(headers: &HeaderMap) -> u64 {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    id.filter(|id| id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|id| u64::from_str_radix(id, 16).ok())
        .unwrap_or(0)
}
