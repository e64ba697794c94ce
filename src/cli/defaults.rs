//! Default addresses of a lab.

/// The front.
pub(super) const FRONT: &str = "127.0.0.1:8080";
/// The synchronous server.
pub(super) const SYNC: &str = "127.0.0.1:8001";
/// The asynchronous server.
pub(super) const ASYNC: &str = "127.0.0.1:8002";
/// The metrics port.
pub(super) const METRICS: &str = "127.0.0.1:9100";

/// Adds `offset` to the port of an address if it is one of these.
pub(super) fn shifted(text: String, offset: u16) -> String {
    let port = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?.checked_add(offset)?)));
    match port {
        Some((host, port)) if [FRONT, SYNC, ASYNC, METRICS].contains(&text.as_str()) => {
            format!("{host}:{port}")
        }
        _ => text,
    }
}
