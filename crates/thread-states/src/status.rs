//! A status that HTTP does not define.

use http::StatusCode;

/// Status of a request whose client disconnected before the response began: 499, as in nginx.
#[must_use]
#[cfg_attr(
    not(feature = "exporter"),
    expect(unreachable_pub, reason = "`problem` exports it")
)]
pub fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
