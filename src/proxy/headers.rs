//! What is dropped and what is added on the way through.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONNECTION, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// Names a request from the client to the log of the server and back.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// When the front passed the request on: `t=` and seconds since 1970 with three decimals.
const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that concern one connection only (RFC 9110, section 7.6.1), and `Expect`, which the
/// front meets itself. `Connection` may name more.
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

/// The longest request id that a client may choose, in bytes.
const LONGEST_ID: usize = 128;

/// Drops what concerns the connection that the message came on, and not the message.
pub(super) fn drop_hop_by_hop(headers: &mut HeaderMap) {
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

/// Tells the server where the request came from. What the client claims about that is replaced,
/// not extended: the front is the edge and trusts no proxy before it.
pub(super) fn tell_origin(headers: &mut HeaderMap, client: IpAddr, prefix: Option<HeaderValue>) {
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

/// Tells the server when the request was passed on.
pub(super) fn tell_start(headers: &mut HeaderMap) {
    // A clock before 1970 is told as 1970; the server then ignores it as too long ago.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let text = format!("t={}.{:03}", now.as_secs(), now.subsec_millis());
    insert_text(headers, REQUEST_START, &text);
}

/// The client's request id if it sent one sane one, else a new one of 32 hexadecimal digits.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut ids = headers.get_all(REQUEST_ID).iter();
    match (ids.next(), ids.next()) {
        (Some(id), None) if is_sane(id.as_bytes()) => id.clone(),
        _ => new_request_id(),
    }
}

/// A request id of 32 hexadecimal digits, as nginx makes them.
pub(super) fn new_request_id() -> HeaderValue {
    let text = Uuid::new_v4().simple().to_string();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"))
}

/// Whether an id is 1 to 128 characters of a token (RFC 9110, section 5.6.2).
fn is_sane(id: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(token)
}

/// Sets a field to text that is known to be visible ASCII.
fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}
