//! The live page, answered from memory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};

use super::Body;
use super::config::Asset;

/// The page loads nothing from elsewhere, runs nothing inline and is framed by no one.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The answer to a GET or HEAD for the asset; 304 if the client has it already.
pub(super) fn respond(asset: &Asset, request: &HeaderMap) -> Response<Body> {
    let etag = entity_tag(asset.bytes);
    let mut response = if has_already(request, &etag) {
        not_modified()
    } else {
        whole(asset, takes_gzip(request))
    };
    let headers = response.headers_mut();
    // Kept, but asked for again each time: the page changes with the program.
    let fixed: [(HeaderName, &'static str); 4] = [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "Accept-Encoding"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The same content in other bytes: a weak tag, as nginx makes (RFC 9110, section 8.8.1).
    let weak = headers.contains_key(CONTENT_ENCODING);
    let etag = if weak { format!("W/{etag}") } else { etag };
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, etag);
    }
    response
}

fn whole(asset: &Asset, gzip: bool) -> Response<Body> {
    let plain = Bytes::from_static(asset.bytes);
    // Small, and asked for seldom: compressed anew each time.
    let compressed = gzip.then(|| compress(asset.bytes)).and_then(Result::ok);
    let encoded = compressed.is_some();
    let bytes = compressed.map_or(plain, Bytes::from);
    let length = bytes.len();
    let body = Full::new(bytes);
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if encoded {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Whether the client takes gzip: `Accept-Encoding` names it, and not with a weight of 0
/// (RFC 9110, section 12.5.3).
fn takes_gzip(request: &HeaderMap) -> bool {
    let codings = request.get_all(ACCEPT_ENCODING).iter();
    let mut codings = codings
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight: f64| weight > 0.0)
    })
}

fn not_modified() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// A tag that changes with the content.
fn entity_tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether `If-None-Match` names the tag, or any (RFC 9110, section 13.1.2).
fn has_already(request: &HeaderMap, etag: &str) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}
