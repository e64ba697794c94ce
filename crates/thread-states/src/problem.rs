//! The one shape of every error answer: `application/problem+json`, RFC 9457.
//!
//! A leaf that the app, the gateways and the front share, so that a client meets one shape
//! whoever refused it.

use axum::response::IntoResponse;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

/// The media type of [`Problem`] as JSON.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error answer (RFC 9457, section 3.1). Its `type` is `about:blank` and left out, as the
/// section allows: the status says what kind of problem it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The reason phrase of the status, e.g. `Not Found`.
    pub title: &'static str,
    /// The HTTP status code, 400 to 599.
    pub status: u16,
    /// One sentence: what was wrong, and what is allowed.
    pub detail: String,
    /// Extension member: the request parameter that was refused, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<Parameter>,
}

/// A refused parameter of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name, e.g. `seconds`.
    pub name: &'static str,
    /// The value as it was sent.
    pub value: String,
    /// What is allowed, e.g. `a number from 0 to 300`.
    pub rule: String,
}

impl Problem {
    /// A problem of this status; `detail` is one sentence for a person.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            parameter: None,
        }
    }

    /// The same problem, naming the parameter that was refused.
    #[must_use]
    pub fn with_parameter(mut self, parameter: Parameter) -> Self {
        self.parameter = Some(parameter);
        self
    }

    /// The JSON text of the answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A struct of strings and integers: serialising it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The whole answer, with its length and media type set.
    #[must_use]
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        let body = self.to_json();
        let length = body.len();
        let mut response = Response::new(B::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        // The inherent function of the same name.
        Problem::into_response(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parameter_value_and_rule() {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "seconds is too large")
            .with_parameter(Parameter {
                name: "seconds",
                value: "301".into(),
                rule: "a number from 0 to 300".into(),
            });
        let response: Response<String> = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let json: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "seconds is too large",
                "parameter": {"name": "seconds", "value": "301", "rule": "a number from 0 to 300"},
            })
        );
    }
}
