//! Error responses written as bytes.
//!
//! hyper rejects a request whose head it cannot parse before any service sees it, with an empty body.
//! The streams below hyper drop that response, and this module writes one in its place that has the
//! same body as all other errors.

use std::fmt::Write;
use std::time::SystemTime;

use crate::problem::{MEDIA_TYPE, Problem};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderName, HeaderValue, StatusCode};

/// Longest target that hyper accepts, in bytes: the `http` crate stores its length in a `u16`.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// Number of header fields that hyper accepts by default.
const MAX_FIELDS: usize = 100;

/// Limits of a request's head, as the error responses state them.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the request line and the header fields.
    pub bytes: usize,
    /// Bytes of the request's target.
    pub target: usize,
    /// Number of header fields.
    pub fields: usize,
}

impl HeadLimits {
    /// Returns this limit of bytes with hyper's own limits.
    #[must_use]
    pub const fn of_hyper(bytes: usize) -> Self {
        Self {
            bytes,
            target: MAX_TARGET,
            fields: MAX_FIELDS,
        }
    }
}

/// Returns the status of an error response as hyper writes it: one buffer that holds a head with a
/// status of 400 to 499 and no body.
#[must_use]
pub fn hyper_status(bytes: &[u8]) -> Option<StatusCode> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let whole = bytes.ends_with(b"\r\n\r\n");
    let status = StatusCode::from_bytes(status).ok()?;
    (whole && status.is_client_error()).then_some(status)
}

/// Returns the status of the response to a head that hyper could not parse: `status` is that of hyper's
/// own response, `result` how the connection ended, and `unparsed` the bytes that hyper did not use.
///
/// More precise than hyper, which responds with 400 to an unsupported version and to an unknown
/// transfer coding, and not at all to HTTP/2. It distinguishes these errors only by their text.
#[must_use]
pub fn parse_status(
    status: Option<StatusCode>,
    result: &hyper::Result<()>,
    unparsed: &[u8],
) -> Option<StatusCode> {
    let error = result.as_ref().err();
    if error.is_some_and(hyper::Error::is_parse_version_h2) {
        return Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    }
    let text = error.map(ToString::to_string).unwrap_or_default();
    match text.as_str() {
        "invalid HTTP version parsed" if has_unsupported_version(unparsed) => {
            Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED)
        }
        "invalid transfer-encoding parsed" => Some(StatusCode::NOT_IMPLEMENTED),
        _ => status,
    }
}

/// Returns whether the first line ends with an HTTP version (RFC 9112, section 2.3) other than 1.0 and 1.1.
fn has_unsupported_version(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut words = line.trim_ascii_end().rsplit(|&byte| byte == b' ');
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    match version {
        Some([b'1', b'.', b'0' | b'1']) => false,
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

/// Returns the sentence that explains why a head was rejected with `status`.
#[must_use]
pub fn detail(status: StatusCode, limits: HeadLimits) -> String {
    let HeadLimits {
        bytes,
        target,
        fields,
    } = limits;
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => format!(
            "The head of the request is too large: at most {bytes} bytes and {fields} header fields are allowed."
        ),
        StatusCode::URI_TOO_LONG => {
            format!("The request's target is too long: at most {target} bytes are allowed.")
        }
        StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
            "The HTTP version is not supported: use HTTP/1.1 or HTTP/1.0.".to_owned()
        }
        StatusCode::NOT_IMPLEMENTED => {
            "The transfer coding is not supported: only chunked is.".to_owned()
        }
        _ => "The request is not well-formed HTTP/1.1.".to_owned(),
    }
}

/// Returns the bytes of an error response after which the connection closes, with `fields` in
/// addition to those that every error response has.
#[must_use]
pub fn error_reply(problem: &Problem, fields: &[(HeaderName, HeaderValue)]) -> Bytes {
    let body = problem.to_json();
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut reply = format!("HTTP/1.1 {} {}\r\n", problem.status, problem.title);
    let mut field = |name: &HeaderName, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(reply, "{name}: {value}\r\n");
    };
    field(&CONTENT_TYPE, MEDIA_TYPE.to_str().unwrap_or_default());
    field(&CONTENT_LENGTH, &body.len().to_string());
    field(&CONNECTION, "close");
    field(&DATE, &date);
    for (name, value) in fields {
        field(name, value.to_str().unwrap_or_default());
    }
    Bytes::from(reply + "\r\n" + &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_client_errors_pass_for_hypers_own() {
        let head = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let status = |text: &str| hyper_status(text.as_bytes()).map(|status| status.as_u16());
        assert_eq!(status(&head("431 Too Large")), Some(431));
        assert_eq!(status(&head("200 OK")), None);
        assert_eq!(status("HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(status(&(head("404 Not Found") + "body")), None);
        assert_eq!(status("HTTP/1.1 4"), None);
    }

    #[test]
    fn unsupported_versions_are_found_at_the_end_of_the_first_line() {
        for line in [
            "GET / HTTP/9.9\r\n",
            "GET /a b HTTP/1.2\nhost: a",
            "PRI * HTTP/2.0",
        ] {
            assert!(has_unsupported_version(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            "GET /\r\nHTTP/1.2\r\n",
            "GET / HTTP/12",
            "GET / HTTP/1.10",
            "GET / FOO/1.1",
            "GET /a b HTTP/1.1",
        ] {
            assert!(!has_unsupported_version(line.as_bytes()), "{line}");
        }
    }
}
