//! The pages `/metrics` and `/healthz`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_core::body::Body;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use tower_service::Service;

use super::connections::ConnectionLimits;
use super::page_body::{PageBody, PieceMemory};
use crate::metrics::exposition::Exposition;
use crate::problem::Problem;

/// Media type of Prometheus' text format.
const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");
/// Media type of other text.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The pages of one exposition. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    exposition: Arc<Exposition>,
    memory: PieceMemory,
}

impl Pages {
    pub(super) fn new(exposition: Exposition) -> Self {
        Self {
            exposition: Arc::new(exposition),
            memory: PieceMemory::default(),
        }
    }

    /// Returns the page `/metrics` for a request of this version of HTTP.
    pub(super) fn metrics(&self, version: Version) -> Response<Body> {
        match self.exposition.page() {
            // Without chunks, only its length shows such a client that a page is not whole (RFC 9112, section 8).
            Ok(page) if version == Version::HTTP_10 => {
                response(TEXT_FORMAT, Body::from(page.into_text()))
            }
            Ok(page) => {
                let time = ConnectionLimits::default().write;
                let body = PageBody::new(page, self.memory.clone(), time);
                response(TEXT_FORMAT, Body::new(body))
            }
            Err(error) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Problem::new(status, error.to_string()).into_response()
            }
        }
    }
}

/// Returns the page `/healthz`.
pub(super) fn health() -> Response<Body> {
    response(PLAIN, Body::from("alive\n"))
}

/// Returns the response to a request of another page.
pub(super) fn not_found() -> Response<Body> {
    Problem::new(StatusCode::NOT_FOUND, "no such page on the metrics port").into_response()
}

/// Returns the response to a request with another method than `GET` or `HEAD`.
pub(super) fn method_not_allowed() -> Response<Body> {
    let detail = "method not allowed; the Allow header lists the allowed methods";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}

fn response(media_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

impl<B> Service<Request<B>> for Pages {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        let response = match path {
            "/metrics" | "/healthz" if ![Method::GET, Method::HEAD].contains(request.method()) => {
                let mut response = method_not_allowed();
                let allowed = HeaderValue::from_static("GET,HEAD");
                response.headers_mut().insert(ALLOW, allowed);
                response
            }
            "/metrics" => self.metrics(request.version()),
            "/healthz" => health(),
            _ => not_found(),
        };
        ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn each_path_and_method_has_its_status() {
        let exposition = Exposition::new([Metrics::new("shop")]).unwrap();
        let mut pages = Pages::new(exposition);
        let mut status = |method: Method, path: &str| {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap();
            let response = pages.call(request).into_inner().unwrap();
            response.status().as_u16()
        };
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::HEAD, "/metrics?x=1"), 200);
        assert_eq!(status(Method::GET, "/healthz"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        assert_eq!(status(Method::GET, "/"), 404);
    }

    #[test]
    fn a_long_page_has_a_length_for_a_client_that_knows_no_chunks() {
        let metrics = Metrics::new("shop");
        let _registration = metrics.register_current_thread();
        let long = "other_metric 1\n".repeat(100_000);
        let exposition = Exposition::new([metrics]).unwrap();
        let mut pages = Pages::new(exposition.append(move || long.clone()));
        let mut length = |version| {
            let request = Request::get("/metrics").version(version).body(()).unwrap();
            let response = pages.call(request).into_inner().unwrap();
            response.into_body().size_hint().exact()
        };
        assert_eq!(length(Version::HTTP_11), None);
        assert!(length(Version::HTTP_10) > Some(1_500_000));
    }
}
