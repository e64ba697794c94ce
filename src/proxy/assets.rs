//! Files of the live page, served from memory.

use std::convert::Infallible;
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};

use headers::{ETag, HeaderMapExt, IfMatch, IfNoneMatch};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{ServiceExt, service_fn};
use tower_http::compression::Compression;

use super::body::Body;
use super::config::Asset;
use thread_states::problem::Problem;

/// Content Security Policy: the page loads only its own files, has no inline scripts or styles, and
/// cannot be framed.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Responds to a GET or HEAD request for the asset.
pub(super) async fn respond(asset: &Asset, request: Request<Incoming>) -> Response<Body> {
    let uncompressed = service_fn(|request: Request<Incoming>| {
        ready(Ok::<_, Infallible>(uncompressed(asset, request.headers())))
    });
    let Ok(mut response) = Compression::new(uncompressed)
        .compress_when(|status: StatusCode, _, _: &HeaderMap, _: &_| status == StatusCode::OK)
        .oneshot(request)
        .await;
    let headers = response.headers_mut();
    // Compressed bytes are another representation of the same content, which is what a weak tag
    // means (RFC 9110, section 8.8.1). nginx does the same.
    if let (true, Some(tag)) = (headers.contains_key(CONTENT_ENCODING), headers.get(ETAG))
        && let Ok(weak) = HeaderValue::try_from([b"W/", tag.as_bytes()].concat())
    {
        headers.insert(ETAG, weak);
    }
    response.map(BodyExt::boxed_unsync)
}

/// Responds with the whole asset, or with 304 if the client has it already.
fn uncompressed(asset: &Asset, request: &HeaderMap) -> Response<Full<bytes::Bytes>> {
    let tag = entity_tag(&asset.bytes);
    let wanted: Option<IfMatch> = request.typed_get();
    if let Some((wanted, tag)) = wanted.zip(tag.as_ref())
        && !wanted.precondition_passes(tag)
    {
        return Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "the file has another entity tag than those in If-Match",
        )
        .into_response();
    }
    let known: Option<IfNoneMatch> = request.typed_get();
    let modified = known
        .zip(tag.as_ref())
        .is_none_or(|(known, tag)| known.precondition_passes(tag));
    let mut response = Response::new(Full::default());
    if modified {
        *response.body_mut() = Full::new(asset.bytes.clone());
        let headers = response.headers_mut();
        if let Ok(content_type) = HeaderValue::try_from(&asset.content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(asset.bytes.len()));
    } else {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    // `no-cache` lets a client keep the file but makes it revalidate the file each time: the page changes with
    // the program.
    let fixed: [(HeaderName, &'static str); 4] = [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "Accept-Encoding"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(tag) = tag {
        headers.typed_insert(tag);
    }
    response
}

/// Returns a tag that changes with the content.
fn entity_tag(bytes: &[u8]) -> Option<ETag> {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish()).parse().ok()
}
