//! The OpenAPI document, held by a snapshot: a change of the API shows in review.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use threadlab::app::{Limits, router};
use tower::ServiceExt;

#[tokio::test]
async fn the_document_is_the_reviewed_one() {
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let response = router(Limits::default()).oneshot(request).await.unwrap();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let document: Value = serde_json::from_slice(&body).unwrap();
    insta::assert_json_snapshot!("openapi", document);
}
