//! What becomes of a request's body: no endpoint takes one, so it is read to its end and
//! dropped, in order that the connection can go on to the next request.

use std::error::Error;
use std::io;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::BodyExt;

use super::Limits;
use thread_states::problem::Problem;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("the request's body is larger than {max} bytes")]
    TooLarge { max: u64 },
    #[error("the request's body came too slowly")]
    TimedOut,
    #[error("the request's body is malformed or broke off")]
    Broken,
}

/// Reads the request's body to its end and drops it. Returns the request without.
pub(super) async fn discard(request: Request, limits: Limits) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    read_to_end(body, limits.max_body).await?;
    Ok(Request::from_parts(parts, Body::empty()))
}

async fn read_to_end(mut body: Body, max: u64) -> Result<(), BodyError> {
    // A body with a Content-Length tells its size before it is read: then a client that waits
    // for `100 Continue` is spared the sending.
    if body.size_hint().lower() > max {
        return Err(BodyError::TooLarge { max });
    }
    let mut left = max;
    while let Some(frame) = body.frame().await {
        let length = frame?.data_ref().map_or(0, |data| data.len() as u64);
        left = left
            .checked_sub(length)
            .ok_or(BodyError::TooLarge { max })?;
    }
    Ok(())
}

impl From<axum::Error> for BodyError {
    fn from(error: axum::Error) -> Self {
        if is_timeout(&error) {
            Self::TimedOut
        } else {
            Self::Broken
        }
    }
}

/// Whether anything in the chain of causes is an I/O error of the kind `TimedOut`: so says a
/// gateway that has waited long enough.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.any(|cause| {
        cause
            .downcast_ref()
            .is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::TimedOut)
    })
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, error.to_string())
    }
}
