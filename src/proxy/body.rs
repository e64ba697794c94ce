//! Bodies on their way through the front.

use bytes::Bytes;
use http_body_util::LengthLimitError;
use http_body_util::combinators::UnsyncBoxBody;
use tower::BoxError;
use tower_http::timeout::TimeoutError;

use crate::wire::find_cause;

/// Body of every request to a server and of every response to a client.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Error of the body of a client's request.
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
        if find_cause::<LengthLimitError>(&*error).is_some() {
            Self::TooLarge
        } else if find_cause::<TimeoutError>(&*error).is_some() {
            Self::TooSlow
        } else {
            Self::Broken
        }
    }
}
