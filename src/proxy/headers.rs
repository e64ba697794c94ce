//! Header fields that the front removes and adds.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONNECTION, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// ID of a request, the same for the client, the front and the server.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Time at which the front forwarded the request: `t=` and seconds since 1970 with three decimals.
const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that apply to one connection only and must not be forwarded (RFC 9110, section 7.6.1).
///
/// Beyond the list in that section: `Proxy-Authenticate` and `Proxy-Authentication-Info` (sections
/// 11.7.1 and 11.7.3) and `Proxy-Authorization` (11.7.2), which are meant for the next proxy;
/// `Trailer`, because the front forwards no trailers; `HTTP2-Settings` (RFC 7540, section 3.2.1), which
/// belongs to `Upgrade: h2c`; and `Expect` (10.1.1), which hyper answers with `100 Continue` when the
/// front reads the body.
const HOP_BY_HOP: [&str; 12] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that a server gets from the front only.
const OWN: [HeaderName; 7] = [
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED_PREFIX,
    FORWARDED_PROTO,
    REQUEST_ID,
    REQUEST_START,
];

/// Longest request ID that a client may choose, in bytes.
const MAX_ID: usize = 128;

/// Removes the fields that apply to the connection on which a message arrived: those in
/// [`HOP_BY_HOP`], and those that the message's `Connection` field names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes fields whose names differ from those of the front in `_` for `-`: apps behind CGI or WSGI cannot tell the two
/// (RFC 3875, section 4.1.18).
pub(super) fn remove_other_spellings(headers: &mut HeaderMap) {
    let is_spelling = |name: &&HeaderName| {
        let name = name.as_str();
        name.contains('_') && OWN.iter().any(|own| *own == *name.replace('_', "-"))
    };
    let spellings: Vec<_> = headers.keys().filter(is_spelling).cloned().collect();
    for name in spellings {
        headers.remove(name);
    }
}

/// Sets the fields that describe the request's origin. Values from the client are replaced, not
/// extended: no trusted proxy stands before the front.
pub(super) fn set_origin(headers: &mut HeaderMap, client: IpAddr, prefix: Option<HeaderValue>) {
    headers.remove(FORWARDED);
    headers.remove(FORWARDED_HOST);
    headers.remove(FORWARDED_PREFIX);
    if let Some(host) = headers.remove(HOST) {
        headers.insert(FORWARDED_HOST, host);
    }
    if let Some(prefix) = prefix {
        headers.insert(FORWARDED_PREFIX, prefix);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    insert_text(headers, FORWARDED_FOR, &client.to_canonical().to_string());
}

/// Sets the time at which the request is forwarded.
pub(super) fn set_start(headers: &mut HeaderMap) {
    // A clock before 1970 gives 0, which the server ignores as too long ago.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let text = format!("t={}.{:03}", now.as_secs(), now.subsec_millis());
    insert_text(headers, REQUEST_START, &text);
}

/// Returns the client's request ID if it sent exactly one that is valid, and otherwise a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut ids = headers.get_all(REQUEST_ID).iter();
    match (ids.next(), ids.next()) {
        (Some(id), None) if is_valid_id(id.as_bytes()) => id.clone(),
        _ => new_request_id(),
    }
}

/// Creates a request ID of 32 hexadecimal digits, like nginx's `$request_id`.
pub(super) fn new_request_id() -> HeaderValue {
    let text = Uuid::new_v4().simple().to_string();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"))
}

/// Returns whether an ID is a token (RFC 9110, section 5.6.2) of 1 to 128 characters.
fn is_valid_id(id: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (1..=MAX_ID).contains(&id.len()) && id.iter().all(token)
}

/// Sets a field to text that consists of visible ASCII characters.
fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}
