//! Error responses of the front.

use std::io;

use http::header::{ALLOW, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;

use super::body::{Body, BodyError};
use crate::wire::{HeadError, find_cause};
use thread_states::problem::Problem;

/// Reason for which the front responds in place of a server. Its text is the response's `detail`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("the request's target is not a valid URI")]
    Target,
    #[error("there is no such path; the front serves {0}")]
    NotFound(String),
    #[error("the method is not allowed here; GET and HEAD are")]
    Method,
    #[error("the request's target is too long; at most {0} bytes are allowed")]
    LongTarget(usize),
    #[error("the request's body is too large; at most {0} bytes are allowed")]
    LargeBody(usize),
    #[error("the request's body did not arrive in time")]
    SlowBody,
    #[error("the request's body is malformed or incomplete")]
    BrokenBody,
    #[error("the {0} server cannot be reached, or its response is not valid HTTP")]
    Unreachable(&'static str),
    #[error("the {0} server did not respond in time")]
    Slow(&'static str),
}

impl Rejection {
    /// Returns the reason for which a request to the server of this name failed.
    pub(super) fn of(error: &legacy::Error, name: &'static str, max_body: usize) -> Self {
        match find_cause::<BodyError>(error) {
            Some(BodyError::TooLarge) => Self::LargeBody(max_body),
            Some(BodyError::TooSlow) => Self::SlowBody,
            Some(BodyError::Broken) => Self::BrokenBody,
            None if timed_out(error) => Self::Slow(name),
            None => Self::Unreachable(name),
        }
    }

    /// Status of the response.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Head(error) => error.status(),
            Self::Target | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::LargeBody(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LongTarget(_) => StatusCode::URI_TOO_LONG,
            Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Builds the response.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Problem::new(self.status(), self.to_string())
            .into_response::<Full<_>>()
            .map(|body: Full<bytes::Bytes>| body.map_err(|never| match never {}).boxed_unsync());
        if let Self::Method = self {
            let methods = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, methods);
        }
        response
    }
}

/// Returns whether the connection to a server was not established in time.
fn timed_out(error: &legacy::Error) -> bool {
    find_cause::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}
