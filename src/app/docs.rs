//! The OpenAPI document, and Swagger UI to browse and try it.
//!
//! All links are relative: a front serves the app under a prefix that the app does not know.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::rejection;
use thread_states::problem::Problem;

/// Path of the document.
pub(super) const OPENAPI: &str = "/openapi.json";
/// Path that users type; redirects to [`PAGE`].
pub(super) const DOCS: &str = "/docs";
/// Path of Swagger UI's page.
pub(super) const PAGE: &str = "/docs/";
/// Paths of the files that the page loads.
pub(super) const FILE: &str = "/docs/{*file}";

/// Returns the routes of the document and its pages.
pub(super) fn router(api: OpenApi) -> Router {
    let api = Arc::new(api);
    let document = || async move { Json(&*api).into_response() };
    Router::new()
        .route(OPENAPI, get(document))
        .route(DOCS, get(to_page))
        .route(PAGE, get(page))
        .route(FILE, get(file))
        .with_state(Arc::new(config()))
}

/// Returns Swagger UI's settings. By default it would send the document to an online validator; it
/// must not contact other hosts.
fn config() -> Config<'static> {
    Config::from("../openapi.json")
        .use_base_layout()
        .validator_url("none")
        .try_it_out_enabled(true)
        .display_request_duration(true)
}

async fn to_page() -> impl IntoResponse {
    // Browsers cache a permanent redirect, and the next program on the port has other paths.
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "docs/")])
}

async fn page(uri: Uri, State(config): State<Arc<Config<'static>>>) -> Response {
    serve(&uri, "index.html", config)
}

async fn file(
    uri: Uri,
    State(config): State<Arc<Config<'static>>>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    match name {
        Ok(Path(name)) => serve(&uri, &name, config),
        Err(error) => Problem::new(error.status(), error.body_text()).into_response(),
    }
}

fn serve(uri: &Uri, name: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => ([(CONTENT_TYPE, file.content_type)], file.bytes).into_response(),
        Ok(None) => rejection::no_resource(uri).into_response(),
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
