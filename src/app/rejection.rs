//! Error responses: each reaches the client as a [`Problem`], even those that axum makes.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as ApiResponse, ResponseBuilder};

use thread_states::problem::{MEDIA_TYPE, Problem};

/// Maximum number of bytes of a foreign error's text that become the detail.
const MAX_TEXT: usize = 1024;

/// Turns an [error response](is_foreign_error) of axum or another library into a problem. Its status and headers stay,
/// and its text becomes the detail.
pub(super) async fn as_problem(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_TEXT).await.unwrap_or_default();
    let detail = if text.is_empty() {
        "the request was rejected without a reason".to_owned()
    } else {
        String::from_utf8_lossy(&text).into_owned()
    };
    let (problem, body) = Problem::new(parts.status, detail)
        .into_response::<Body>()
        .into_parts();
    parts.headers.extend(problem.headers);
    Response::from_parts(parts, body)
}

/// Returns the response to a path that no route has.
pub(super) async fn not_found(uri: Uri) -> Problem {
    no_resource(&uri)
}

/// Returns the response to a path at which there is nothing.
pub(super) fn no_resource(uri: &Uri) -> Problem {
    let detail = format!("no resource at {}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// Returns the response to a method that a route does not have.
pub(super) async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("method {method} is not allowed; see the Allow header");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Returns whether a response is an error that is not a problem.
pub(super) fn is_foreign_error(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response.headers().get(CONTENT_TYPE) != Some(&MEDIA_TYPE)
}

/// Returns the response in place of a handler that panicked. The panic's message goes to the log, not
/// to the client.
pub(super) fn after_panic() -> Response {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the handler panicked").into_response()
}

/// The error responses that all endpoints have in common, for the OpenAPI document.
pub(super) struct Rejections;

impl IntoResponses for Rejections {
    fn responses() -> BTreeMap<String, RefOr<ApiResponse>> {
        described([
            ("400", "The request or its body is malformed."),
            ("408", "The request body was not sent in time."),
            ("413", "The request body is too large."),
            ("500", "The handler failed."),
            (
                "default",
                "Any other error: 404 for an unknown path, 405 for a wrong method, 431 for \
                 headers that are too large, 502 to 504 for a server that is down, overloaded or slow.",
            ),
        ])
    }
}

/// Documents a problem for each pair of status and description.
pub(super) fn described<const N: usize>(
    responses: [(&str, &str); N],
) -> BTreeMap<String, RefOr<ApiResponse>> {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    responses
        .map(|(status, description)| {
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content.clone())
                .build();
            (status.to_owned(), response.into())
        })
        .into()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
    use axum::routing::get;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use axum::response::IntoResponse;

    use super::*;
    use crate::app::{BodyLimit, Guard};

    /// Returns the response to a request with this handler.
    async fn respond<F, R>(handler: F) -> (Response<()>, Value)
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: IntoResponse + 'static,
    {
        let routes = Router::new().route("/", get(move || async move { handler() }));
        let app = Guard {
            inner: routes,
            limit: BodyLimit::default(),
        };
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(parts.headers[CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(parts.headers[CONTENT_LENGTH], body.len().to_string());
        let json = serde_json::from_slice(&body).unwrap();
        (Response::from_parts(parts, ()), json)
    }

    #[tokio::test]
    async fn foreign_errors_keep_status_headers_and_text() {
        let reject = || (StatusCode::IM_A_TEAPOT, [(RETRY_AFTER, "9")], "no coffee");
        let (response, problem) = respond(reject).await;
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(response.headers()[RETRY_AFTER], "9");
        assert_eq!(
            problem,
            json!({"title": "I'm a teapot", "status": 418, "detail": "no coffee"})
        );
    }

    #[tokio::test]
    async fn foreign_errors_with_no_text_or_a_long_one_have_a_detail() {
        let too_long = "x".repeat(MAX_TEXT + 1);
        for text in [String::new(), too_long] {
            let reject = move || (StatusCode::BAD_GATEWAY, text.clone());
            let (response, problem) = respond(reject).await;
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
            assert_eq!(
                problem["detail"],
                "the request was rejected without a reason"
            );
        }
    }

    #[tokio::test]
    async fn a_panic_gets_a_500_without_its_message() {
        let fail = || -> StatusCode { panic!("the secret") };
        let (response, problem) = respond(fail).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(problem["detail"], "the handler panicked");
    }
}
