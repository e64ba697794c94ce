//! Rules for the head of a request that hyper does not check.

use std::error::Error;
use std::fmt;

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version};

/// Reason to reject the head of a request. Its text is the response's `detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// Not exactly one valid host.
    Host,
    /// Neither a path nor an http URI.
    Target,
    /// The transfer coding `chunked` more than once.
    RepeatedChunked,
    /// Another transfer coding than `chunked`.
    TransferCoding,
}

impl fmt::Display for HeadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Host => "an HTTP/1.1 request needs exactly one Host field, with a valid host",
            Self::Target => "the request's target must be a path, or an http URI with a valid host",
            Self::RepeatedChunked => "a body can have the transfer coding chunked only once",
            Self::TransferCoding => "the transfer coding is not supported; only chunked is",
        })
    }
}

impl Error for HeadError {}

impl HeadError {
    /// Status of the response.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Target | Self::RepeatedChunked => StatusCode::BAD_REQUEST,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// Checks the head of a request that hyper has parsed.
///
/// # Errors
///
/// The first rule that the head breaks.
pub fn check_head<B>(request: &Request<B>) -> Result<(), HeadError> {
    check_target(request.uri())?;
    check_fields(request.headers(), request.version())
}

/// Accepts the origin form and the absolute form (RFC 9112, sections 3.2.1 and 3.2.2). The other two
/// are for CONNECT and for `OPTIONS *`, which no server here supports; hyper would pass `*` on as a
/// path, and `host:443` as an empty one.
fn check_target(uri: &Uri) -> Result<(), HeadError> {
    let accepted = match (uri.scheme(), uri.authority()) {
        (None, None) => uri.path().starts_with('/'),
        (Some(scheme), Some(authority)) => {
            (*scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) && is_host(authority)
        }
        _ => false,
    };
    accepted.then_some(()).ok_or(HeadError::Target)
}

/// Requires exactly one valid Host field, or none in HTTP/1.0 (RFC 9112, section 3.2), and no transfer coding but one
/// `chunked`. One pass over the fields is faster than looking up both names.
fn check_fields(fields: &HeaderMap, version: Version) -> Result<(), HeadError> {
    let (mut hosts, mut chunked) = (0, 0);
    for (name, value) in fields {
        if name == HOST {
            hosts += 1;
            if !is_host_field(value) {
                return Err(HeadError::Host);
            }
        } else if name == TRANSFER_ENCODING {
            chunked += count_chunked(value)?;
        }
    }
    if hosts > 1 || hosts == 0 && version >= Version::HTTP_11 {
        return Err(HeadError::Host);
    }
    (chunked <= 1)
        .then_some(())
        .ok_or(HeadError::RepeatedChunked)
}

fn is_host_field(value: &HeaderValue) -> bool {
    is_plain_host(value.as_bytes())
        || Authority::try_from(value.as_bytes()).is_ok_and(|authority| is_host(&authority))
}

/// Returns whether a Host field is a name or an IPv4 address with an optional port of at most five digits. Nearly all
/// are, and this takes a tenth of the time of the whole check.
fn is_plain_host(field: &[u8]) -> bool {
    let mut last = b'.';
    for (index, &byte) in field.iter().enumerate() {
        match byte {
            b'.' if last == b'.' => return false,
            b'.' | b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => last = byte,
            b':' => {
                let port = &field[index + 1..];
                // Of as many digits, the order of the text is that of the numbers.
                let fits = port.len() < 5 || port.len() == 5 && *port <= *b"65535".as_slice();
                return index > 0 && fits && port.iter().all(u8::is_ascii_digit);
            }
            _ => return false,
        }
    }
    !field.is_empty()
}

/// Returns whether an authority is a host with an optional port, without user information (RFC 9110,
/// section 7.2). An empty host is invalid (section 4.2.1).
fn is_host(authority: &Authority) -> bool {
    let (host, whole) = (authority.host(), authority.as_str());
    let port = whole.strip_prefix(host).filter(|_| !host.is_empty());
    let is_port = |digits: &str| {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.is_empty() || is_number && digits.parse::<u16>().is_ok()
    };
    // No name has an empty label (RFC 1123, section 2.1), but the last one, of the root.
    let has_labels = !host.contains("..") && !host.starts_with('.');
    has_labels
        && port.is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Returns how often a Transfer-Encoding field has `chunked`, and accepts no other coding. hyper removes `chunked` and
/// ignores codings before it, so that an app would get, for example, a compressed body without its label (RFC 9112,
/// section 6.1).
fn count_chunked(value: &HeaderValue) -> Result<usize, HeadError> {
    let text = value.to_str().map_err(|_| HeadError::TransferCoding)?;
    text.split(',').map(str::trim).try_fold(0, |count, coding| {
        let is_chunked = coding.eq_ignore_ascii_case("chunked");
        is_chunked
            .then_some(count + 1)
            .ok_or(HeadError::TransferCoding)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, fields: &[(&str, &str)]) -> Result<(), HeadError> {
        let request = Request::builder().uri(target);
        let request = fields.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        check_head(&request.body(()).unwrap())
    }

    #[test]
    fn hosts_are_checked() {
        for host in [
            "a",
            "a:80",
            "a:",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "a_b.c-d",
        ] {
            assert_eq!(check("/", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "", "u@h", "h@h", "a b", "a:b", "a/b", "a:80:80", "http://a", "a..b", ".a", "a:65536",
        ] {
            let result = check("/", &[("host", host)]);
            assert_eq!(result, Err(HeadError::Host), "{host}");
        }
        assert_eq!(check("/", &[]), Err(HeadError::Host));
        for field in ["a:1234", "a.", "a:", "127.0.0.1:8080", "a-b.c", "a:65535"] {
            assert!(is_plain_host(field.as_bytes()), "{field}");
        }
        let two = [("host", "a"), ("host", "a")];
        assert_eq!(check("/", &two), Err(HeadError::Host));
    }

    #[test]
    fn http_1_0_needs_no_host() {
        let request = Request::builder().version(Version::HTTP_10).uri("/");
        assert_eq!(check_head(&request.body(()).unwrap()), Ok(()));
    }

    #[test]
    fn targets_are_paths_or_http_uris() {
        for target in ["/", "/a?b", "http://a/b", "https://a", "http://a:80/"] {
            assert_eq!(check(target, &[("host", "a")]), Ok(()), "{target}");
        }
        for target in ["*", "a:443", "ftp://a/b", "http://u@a/"] {
            let result = check(target, &[("host", "a")]);
            assert_eq!(result, Err(HeadError::Target), "{target}");
        }
    }

    #[test]
    fn the_only_transfer_coding_is_chunked() {
        let with = |value| check("/", &[("host", "a"), ("transfer-encoding", value)]);
        assert_eq!(with("Chunked"), Ok(()));
        assert_eq!(with("gzip, chunked"), Err(HeadError::TransferCoding));
        assert_eq!(with("identity"), Err(HeadError::TransferCoding));
        assert_eq!(with("chunked, chunked"), Err(HeadError::RepeatedChunked));
    }
}
