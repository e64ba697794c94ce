//! Error responses written as bytes.
//!
//! hyper rejects a request whose head it cannot parse before any service sees it, with an empty body.
//! The streams below hyper drop that response, and this module writes one in its place that has the
//! same body as all other errors.

use std::fmt::Write;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderName, HeaderValue, StatusCode};
use thread_states::problem::{MEDIA_TYPE, Problem};

/// Limits of a request's head, as the error responses state them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    /// Bytes of the request line and the header fields.
    pub(crate) bytes: usize,
    /// Bytes of the request's target.
    pub(crate) target: usize,
}

/// Returns the status of an error response as hyper writes it: one buffer that holds a head with a
/// status of 400 to 499 and no body.
pub(crate) fn hyper_status(bytes: &[u8]) -> Option<StatusCode> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let whole = bytes.ends_with(b"\r\n\r\n");
    let status = StatusCode::from_bytes(status).ok()?;
    (whole && status.is_client_error()).then_some(status)
}

/// Returns the sentence that explains why a head was rejected with `status`.
pub(crate) fn detail(status: StatusCode, limits: HeadLimits) -> String {
    let HeadLimits { bytes, target } = limits;
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => format!(
            "The head of the request is too large: at most {bytes} bytes and 100 header fields are allowed."
        ),
        StatusCode::URI_TOO_LONG => {
            format!("The request's target is too long: at most {target} bytes are allowed.")
        }
        StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
            "HTTP/2 is not supported here: use HTTP/1.1.".to_owned()
        }
        _ => "The request is not well-formed HTTP/1.1.".to_owned(),
    }
}

/// Returns the bytes of an error response after which the connection closes, with `fields` in
/// addition to those that every error response has.
pub(crate) fn error_reply(problem: &Problem, fields: &[(HeaderName, HeaderValue)]) -> Bytes {
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
}
