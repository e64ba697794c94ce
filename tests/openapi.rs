//! Snapshot of the OpenAPI document, so that changes of the API show up in review.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use threadlab::app::router;
use tower::ServiceExt;

#[tokio::test]
async fn the_document_is_the_reviewed_one() {
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let response = router(None).oneshot(request).await.unwrap();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let document: Value = serde_json::from_slice(&body).unwrap();
    insta::assert_json_snapshot!("openapi", document);
}
