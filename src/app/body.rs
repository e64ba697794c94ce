//! Discards request bodies. No endpoint uses one, so it is read to the end and dropped; the next
//! request on the connection starts after it.

use std::error::Error;
use std::io::{self, ErrorKind};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::BodyExt;

use thread_states::problem::{self, Problem};

/// Maximum size of a request body in bytes; a larger one gets a 413. Default: 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit(pub u64);

impl Default for BodyLimit {
    fn default() -> Self {
        Self(1 << 20)
    }
}

/// Error while reading a body to its end.
#[derive(Debug, thiserror::Error)]
enum DiscardError {
    #[error("the request body is larger than {max} bytes")]
    TooLarge { max: u64 },
    #[error("the request body was not sent in time")]
    TimedOut,
    #[error("the client closed its side of the connection before it had sent the request body")]
    Left,
    #[error("the request body is malformed")]
    Broken,
}

/// Reads the request body to its end and drops it. Returns the request with an empty body.
pub(super) async fn discard(request: Request, limit: BodyLimit) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    read_to_end(body, limit.0).await?;
    Ok(Request::from_parts(parts, Body::empty()))
}

async fn read_to_end(mut body: Body, max: u64) -> Result<(), DiscardError> {
    // With a Content-Length the size is known before the body is read. Rejecting it here means that a
    // client with `Expect: 100-continue` never sends it (RFC 9110, section 10.1.1).
    if body.size_hint().lower() > max {
        return Err(DiscardError::TooLarge { max });
    }
    let mut left = max;
    while let Some(frame) = body.frame().await {
        let length = frame?.data_ref().map_or(0, |data| data.len() as u64);
        left = left
            .checked_sub(length)
            .ok_or(DiscardError::TooLarge { max })?;
    }
    Ok(())
}

impl From<axum::Error> for DiscardError {
    fn from(error: axum::Error) -> Self {
        match io_cause(&error) {
            // A gateway returns it when its read deadline has passed.
            Some(ErrorKind::TimedOut) => Self::TimedOut,
            Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Self::Left,
            _ => Self::Broken,
        }
    }
}

/// Returns the kind of the first I/O error among an error and its sources.
fn io_cause(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let mut causes = anyhow::Chain::new(error);
    causes.find_map(|cause| cause.downcast_ref().map(io::Error::kind))
}

impl From<DiscardError> for Problem {
    fn from(error: DiscardError) -> Self {
        let status = match error {
            DiscardError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            DiscardError::TimedOut => StatusCode::REQUEST_TIMEOUT,
            DiscardError::Left => problem::client_closed_request(),
            DiscardError::Broken => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, error.to_string())
    }
}
