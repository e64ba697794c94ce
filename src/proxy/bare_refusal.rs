//! hyper answers a head that it can't read by itself, before any service sees it, and with an empty
//! body. Here such an answer gets the body that every other refusal has.

use bytes::Bytes;
use http::StatusCode;

use super::headers;
use thread_states::problem::{MEDIA_TYPE, Problem};

/// What is to be sent in the place of `bytes` if they are hyper's own refusal. An answer that
/// passed through the front is told from one by its request id.
pub(super) fn dressed(bytes: &[u8]) -> Option<Bytes> {
    let status = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    if head.contains(headers::REQUEST_ID.as_str()) || !head.contains("content-length: 0") {
        return None;
    }
    let (status, detail) = match status.get(..2)? {
        b"31" => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's head is too large",
        ),
        b"14" => (StatusCode::URI_TOO_LONG, "the request's target is too long"),
        _ => (
            StatusCode::BAD_REQUEST,
            "the request's head is not HTTP/1.1",
        ),
    };
    Some(answer(&Problem::new(status, detail)))
}

fn answer(problem: &Problem) -> Bytes {
    let (body, id) = (problem.to_json(), headers::new_request_id());
    let head = format!(
        "HTTP/1.1 {} {}\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n{}: {}\r\n\r\n",
        problem.status,
        problem.title,
        MEDIA_TYPE.to_str().unwrap_or_default(),
        body.len(),
        headers::REQUEST_ID,
        id.to_str().unwrap_or_default(),
    );
    Bytes::from(head + &body)
}
