//! The answers that no app gives: to requests that never became one.

use std::time::SystemTime;

use http::StatusCode;

use super::Limits;
use super::exchange::Exchange;
use thread_states::problem::{MEDIA_TYPE, Problem};

/// The gateway's own answer on a connection that ended with `result`, if it owes one.
pub(super) fn owed(
    exchange: &Exchange,
    result: &hyper::Result<()>,
    limits: &Limits,
) -> Option<String> {
    let speaks_http2 = result
        .as_ref()
        .is_err_and(hyper::Error::is_parse_version_h2);
    let status = match exchange.refused() {
        Some(status) => status,
        None if speaks_http2 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        None => return None,
    };
    Some(answer(&Problem::new(status, detail(status, limits))))
}

fn detail(status: StatusCode, limits: &Limits) -> String {
    match status {
        StatusCode::REQUEST_TIMEOUT => format!(
            "The head of the request did not arrive within {} s.",
            limits.read_timeout.as_secs_f64()
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => format!(
            "The head of the request is too large: at most {} bytes and 100 header fields are allowed.",
            limits.max_head_bytes
        ),
        StatusCode::URI_TOO_LONG => {
            "The request's target is too long: at most 65534 bytes are allowed.".to_owned()
        }
        StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
            "HTTP/2 is not spoken here: use HTTP/1.1.".to_owned()
        }
        _ => "The request is not well-formed HTTP/1.1.".to_owned(),
    }
}

/// The bytes of the answer, after which the connection closes.
fn answer(problem: &Problem) -> String {
    let body = problem.to_json();
    format!(
        "HTTP/1.1 {status} {title}\r\n\
         content-type: {media_type}\r\n\
         content-length: {length}\r\n\
         connection: close\r\n\
         date: {date}\r\n\
         \r\n\
         {body}",
        status = problem.status,
        title = problem.title,
        media_type = MEDIA_TYPE.to_str().unwrap_or_default(),
        length = body.len(),
        date = httpdate::fmt_http_date(SystemTime::now()),
    )
}
