//! Requests that the metrics port rejects before any route sees them: heads against RFC 9112, and
//! requests that the page of a stranger makes a browser send.
//!
//! A browser on the machine, or in its network, reaches the metrics port for every page that it shows.
//! The page can send simple requests to it, and with a name that resolves first to the page's server
//! and then to this one (DNS rebinding) it can read the responses, too.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HOST, ORIGIN};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderName, Request, StatusCode};

use crate::http1::check_head;
use crate::problem::Problem;

/// Host that a client addressed at a proxy before this server. No page can set it: a request with it
/// is not a simple one, so a browser first asks whether it may send it.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Rules for requests. Clones share the names.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestRules {
    /// Names that clients may use; `None` if they may use any.
    names: Option<Arc<[String]>>,
}

impl RequestRules {
    /// Allows IP addresses, names without a dot, and these names.
    #[cfg(any(feature = "axum", test))]
    pub(super) fn of_names(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: Some(names.into_iter().collect()),
        }
    }

    /// Returns the error response to a request that breaks a rule.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        check_head(request).map_err(|error| Problem::new(error.status(), error.to_string()))?;
        let host = host(request);
        let forwarded = forwarded_host(request.headers());
        let mut names = host.iter().chain(&forwarded).map(Authority::host);
        if let Some(name) = names.find(|name| !self.allows(name)) {
            let detail = format!(
                "the metrics port of {name:?} is not here; use an IP address or a configured name"
            );
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        if is_foreign(request.headers(), host.as_ref()) {
            let detail = "pages of another origin may not use the metrics port";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(())
    }

    /// Returns whether a client may address the server by this name. DNS rebinding needs a name in a
    /// domain of the stranger: neither an address, nor a name without a dot, such as `localhost` or
    /// that of a container.
    fn allows(&self, host: &str) -> bool {
        let Some(names) = &self.names else {
            return true;
        };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        !host.contains('.') && !host.contains(':')
            || address.parse::<IpAddr>().is_ok()
            || names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Returns the host that the client addressed at a proxy, if there was one.
fn forwarded_host(fields: &HeaderMap) -> Option<Authority> {
    Authority::try_from(fields.get(FORWARDED_HOST)?.as_bytes()).ok()
}

/// Returns the host of a valid request, or `None` if it has none, as only HTTP/1.0 allows. That of an absolute target
/// replaces that of the field (RFC 9112, section 3.2.2).
fn host<B>(request: &Request<B>) -> Option<Authority> {
    let of_field = || Authority::try_from(request.headers().get(HOST)?.as_bytes()).ok();
    request.uri().authority().cloned().or_else(of_field)
}

/// Returns whether a page of another origin sent the request. Browsers name the origin in each request
/// that crosses origins and could change anything (Fetch, "HTTP-network-or-cache fetch").
fn is_foreign(fields: &HeaderMap, host: Option<&Authority>) -> bool {
    let forwarded = fields.get(FORWARDED_HOST).map(|value| value.as_bytes());
    fields.get_all(ORIGIN).iter().any(|origin| {
        let uri = Uri::try_from(origin.as_bytes()).unwrap_or_default();
        let origin = uri.authority().map(Authority::as_str);
        let is_own = |origin: &str| {
            host.is_some_and(|host| host.as_str().eq_ignore_ascii_case(origin))
                || forwarded.is_some_and(|host| host.eq_ignore_ascii_case(origin.as_bytes()))
        };
        !origin.is_some_and(is_own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(rules: &RequestRules, target: &str, fields: &[(&str, &str)]) -> u16 {
        let request = Request::builder().uri(target);
        let request = fields.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let checked = rules.check(&request.body(()).unwrap());
        checked.map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn heads_are_checked() {
        let rules = RequestRules::default();
        assert_eq!(status(&rules, "/", &[("host", "any.example:80")]), 200);
        assert_eq!(status(&rules, "/", &[]), 400);
        let coding = [("host", "a"), ("transfer-encoding", "gzip, chunked")];
        assert_eq!(status(&rules, "/", &coding), 501);
        let old = Request::builder().version(http::Version::HTTP_10).uri("/");
        assert!(rules.check(&old.body(()).unwrap()).is_ok());
    }

    #[test]
    fn only_addresses_short_names_and_configured_names_are_allowed() {
        let rules = RequestRules::of_names(["lab.example".to_owned()]);
        for host in [
            "127.0.0.1:9100",
            "[::1]:9100",
            "localhost:9100",
            "sync_threads",
            "LAB.example",
        ] {
            assert_eq!(status(&rules, "/", &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:9100", "localhost."] {
            assert_eq!(status(&rules, "/", &[("host", host)]), 421, "{host}");
        }
        // A page behind a proxy on this machine can be a stranger's, too.
        let forwarded = |host| {
            let fields = [("host", "127.0.0.1:9100"), ("x-forwarded-host", host)];
            status(&rules, "/", &fields)
        };
        assert_eq!(forwarded("localhost:8080"), 200);
        assert_eq!(forwarded("lab.example:8080"), 200);
        assert_eq!(forwarded("evil.example:8080"), 421);
        let target = "http://evil.example/metrics";
        assert_eq!(status(&rules, target, &[("host", "localhost")]), 421);
    }

    #[test]
    fn pages_of_other_origins_are_rejected() {
        let rules = RequestRules::default();
        let with = |origin| status(&rules, "/", &[("host", "a:9100"), ("origin", origin)]);
        assert_eq!(with("http://a:9100"), 200);
        for origin in [
            "http://a",
            "http://evil.example",
            "null",
            "",
            "http://a:9100.evil",
        ] {
            assert_eq!(with(origin), 403, "{origin:?}");
        }
        let forwarded = [
            ("host", "a:9100"),
            ("x-forwarded-host", "front:8080"),
            ("origin", "http://front:8080"),
        ];
        assert_eq!(status(&rules, "/", &forwarded), 200);
    }
}
