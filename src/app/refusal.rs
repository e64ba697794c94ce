//! Refusals: whoever makes one, it reaches the client as a [`Problem`].

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as ApiResponse, ResponseBuilder};

use thread_states::problem::{MEDIA_TYPE, Problem};

/// The most bytes of a foreign refusal's text that are passed on.
const MAX_TEXT: usize = 1024;

/// Gives the one shape to refusals that were not made here, but by axum and others, with their
/// status, their headers and, where they have one, their text.
pub(super) async fn in_one_shape(method: &Method, uri: &Uri, response: Response) -> Response {
    if !is_foreign_refusal(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_TEXT).await.unwrap_or_default();
    let detail = match parts.status {
        _ if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
        StatusCode::NOT_FOUND => format!("there is nothing at {}", uri.path()),
        StatusCode::METHOD_NOT_ALLOWED => {
            format!("{method} is not allowed here, only what the header Allow names")
        }
        _ => "the request was refused without a reason".to_owned(),
    };
    let (problem, body) = Problem::new(parts.status, detail)
        .into_response::<Body>()
        .into_parts();
    parts.headers.extend(problem.headers);
    Response::from_parts(parts, body)
}

fn is_foreign_refusal(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response.headers().get(CONTENT_TYPE) != Some(&MEDIA_TYPE)
}

/// The answer in place of a handler that panicked. What it said is for the log, not for the
/// client.
pub(super) fn after_panic() -> Response {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the handler panicked").into_response()
}

/// The refusals that any endpoint may answer with, for the API's document.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<ApiResponse>> {
        described([
            ("400", "The request or its body is malformed."),
            ("408", "The request's body came too slowly."),
            ("413", "The request's body is too large."),
            ("500", "The handler failed."),
            (
                "default",
                "Any other refusal: 404 for an unknown path, 405 for a wrong method, 431 for \
                 headers that are too large, 502 to 504 for a server that is down, full or slow.",
            ),
        ])
    }
}

/// Documents a problem for each of these pairs of status and description.
pub(super) fn described<const N: usize>(
    refusals: [(&str, &str); N],
) -> BTreeMap<String, RefOr<ApiResponse>> {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    refusals
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
    use tower::layer::layer_fn;

    use axum::response::IntoResponse;

    use super::*;
    use crate::app::{Guard, Limits};

    /// The whole answer to a request whose handler does this.
    async fn answer<F, R>(handler: F) -> (Response<()>, Value)
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: IntoResponse + 'static,
    {
        let routes = Router::new().route("/", get(move || async move { handler() }));
        let app = routes.layer(layer_fn(|inner| Guard {
            inner,
            limits: Limits::default(),
        }));
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(parts.headers[CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(parts.headers[CONTENT_LENGTH], body.len().to_string());
        let json = serde_json::from_slice(&body).unwrap();
        (Response::from_parts(parts, ()), json)
    }

    #[tokio::test]
    async fn a_foreign_refusal_keeps_its_status_headers_and_text() {
        let refuse = || (StatusCode::IM_A_TEAPOT, [(RETRY_AFTER, "9")], "no coffee");
        let (response, problem) = answer(refuse).await;
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(response.headers()[RETRY_AFTER], "9");
        assert_eq!(
            problem,
            json!({"title": "I'm a teapot", "status": 418, "detail": "no coffee"})
        );
    }

    #[tokio::test]
    async fn a_foreign_refusal_without_text_or_with_a_very_long_one_still_has_a_detail() {
        let too_long = "x".repeat(MAX_TEXT + 1);
        for text in [String::new(), too_long] {
            let refuse = move || (StatusCode::BAD_GATEWAY, text.clone());
            let (response, problem) = answer(refuse).await;
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
            assert_eq!(
                problem["detail"],
                "the request was refused without a reason"
            );
        }
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_not_told() {
        let fail = || -> StatusCode { panic!("the secret") };
        let (response, problem) = answer(fail).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(problem["detail"], "the handler panicked");
    }
}
