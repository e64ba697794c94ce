//! Error responses in the format `application/problem+json` (RFC 9457).
//!
//! The exporter responds with them. They are public so that a service can use one format for all its
//! error responses.

use std::fmt::Write;

use axum_core::response::IntoResponse;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

pub use crate::status::client_closed_request;

/// Media type of a [`Problem`] in JSON.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Body of an error response (RFC 9457, section 3.1). It has no `type` member, which means
/// `about:blank`: the problem has no more meaning than its status code (section 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Reason phrase of the status, e.g. `Not Found`.
    pub title: &'static str,
    /// HTTP status code, 400 to 599.
    pub status: u16,
    /// Explanation for people, one sentence: the error, and what is allowed instead.
    pub detail: String,
    /// Extension member: the invalid request parameter, if that is the error.
    pub parameter: Option<Parameter>,
}

/// Invalid parameter of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name, e.g. `seconds`.
    pub name: &'static str,
    /// Value as the client sent it.
    pub value: String,
    /// Allowed values, e.g. `a number from 0 to 300`.
    pub rule: String,
}

fn title(status: StatusCode) -> &'static str {
    if status == client_closed_request() {
        return "Client Closed Request";
    }
    status.canonical_reason().unwrap_or("Error")
}

impl Problem {
    /// Creates a problem with this status; `detail` is one sentence for people.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: title(status),
            status: status.as_u16(),
            detail: detail.into(),
            parameter: None,
        }
    }

    /// Adds the invalid parameter.
    #[must_use]
    pub fn with_parameter(mut self, parameter: Parameter) -> Self {
        self.parameter = Some(parameter);
        self
    }

    /// Returns the body as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"title\":");
        push_string(&mut json, self.title);
        json.push_str(",\"status\":");
        json.push_str(itoa::Buffer::new().format(self.status));
        json.push_str(",\"detail\":");
        push_string(&mut json, &self.detail);
        if let Some(Parameter { name, value, rule }) = &self.parameter {
            json.push_str(",\"parameter\":{\"name\":");
            push_string(&mut json, name);
            json.push_str(",\"value\":");
            push_string(&mut json, value);
            json.push_str(",\"rule\":");
            push_string(&mut json, rule);
            json.push('}');
        }
        json.push('}');
        json
    }

    /// Returns the whole response, with the headers `Content-Type` and `Content-Length`.
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

/// Appends a JSON string (RFC 8259, section 7). Four strings do not pay for a library.
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum_core::response::Response {
        // The inherent method of the same name takes precedence.
        Problem::into_response(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_contains_parameter_value_and_rule() {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "seconds is too large")
            .with_parameter(Parameter {
                name: "seconds",
                value: "3\"0\\1\n\u{1}é".into(),
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
                "parameter": {"name": "seconds", "value": "3\"0\\1\n\u{1}é", "rule": "a number from 0 to 300"},
            })
        );
    }
}
