//! What the front refuses or cannot do, and how it says so.

use std::error::Error;
use std::io;

use http::header::{ALLOW, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError};
use hyper_util::client::legacy;
use tower::BoxError;
use tower_http::timeout::TimeoutError;

use super::Body;
use thread_states::problem::Problem;

/// Why the front answers in the place of a server. The text is the answer's `detail`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("an HTTP/1.1 request needs one Host field")]
    Host,
    #[error("the request's target is no URI")]
    Target,
    #[error("nothing is here; the front serves {0}")]
    NotFound(String),
    #[error("the method is not allowed here; GET and HEAD are")]
    Method,
    #[error("the request's target is too long; up to {0} bytes are allowed")]
    LongTarget(usize),
    #[error("the request's body is too large; up to {0} bytes are allowed")]
    LargeBody(usize),
    #[error("the request's body did not arrive in time")]
    SlowBody,
    #[error("the request's body is malformed or incomplete")]
    BrokenBody,
    #[error("the {0} server can't be reached, or its answer is no HTTP")]
    Unreachable(&'static str),
    #[error("the {0} server did not answer in time")]
    Slow(&'static str),
}

impl Refusal {
    /// Why the request to the server of this name has failed.
    pub(super) fn of(error: &legacy::Error, name: &'static str, largest_body: usize) -> Self {
        match cause::<BodyError>(error) {
            Some(BodyError::TooLarge) => Self::LargeBody(largest_body),
            Some(BodyError::TooSlow) => Self::SlowBody,
            Some(BodyError::Broken) => Self::BrokenBody,
            None if timed_out(error) => Self::Slow(name),
            None => Self::Unreachable(name),
        }
    }

    /// The status that says it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Host | Self::Target | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::LargeBody(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LongTarget(_) => StatusCode::URI_TOO_LONG,
            Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The answer.
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

/// What can be wrong with the body of a client's request.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body is malformed or incomplete")]
    Broken,
}

impl From<BoxError> for BodyError {
    fn from(error: BoxError) -> Self {
        if cause::<LengthLimitError>(&*error).is_some() {
            Self::TooLarge
        } else if cause::<TimeoutError>(&*error).is_some() {
            Self::TooSlow
        } else {
            Self::Broken
        }
    }
}

/// Whether the connection to a server was not made in time.
fn timed_out(error: &legacy::Error) -> bool {
    cause::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// The first error of type `E` among the error and its sources.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
