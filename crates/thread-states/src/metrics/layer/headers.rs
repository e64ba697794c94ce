//! Request headers that the layer reads.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::queue_time::Rejected;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Time at which the request arrived at the front.
const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");

/// Fields of a request.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// The first `X-Request-ID`.
    id: Option<&'a HeaderValue>,
    /// `X-Request-Start`, which is rejected if there are several.
    pub(super) start: Option<Result<&'a HeaderValue, Rejected>>,
}

impl<'a> Fields<'a> {
    /// Finds the fields in one pass. A request has few, so that this takes less time than to hash two names.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            if name == REQUEST_ID {
                fields.id.get_or_insert(value);
            } else if name == REQUEST_START {
                let is_first = fields.start.is_none();
                fields.start = Some(is_first.then_some(value).ok_or(Rejected));
            }
        }
        fields
    }

    /// Returns the number by which a client finds its own requests in the request log: an `X-Request-ID`
    /// of exactly 16 hexadecimal digits, as the live page sends; 0 for any other.
    pub(super) fn tag(&self) -> u64 {
        let id = self.id.and_then(|id| id.to_str().ok());
        id.filter(|id| id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|id| u64::from_str_radix(id, 16).ok())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_counts_and_a_second_start_rejects_the_first() {
        let mut headers = HeaderMap::new();
        let fields = Fields::of(&headers);
        assert!(fields.tag() == 0 && fields.start.is_none());
        for (id, start) in [("00000000000000ff", "t=1"), ("0000000000000001", "t=2")] {
            headers.append("accept", HeaderValue::from_static("*/*"));
            headers.append(REQUEST_ID, HeaderValue::from_static(id));
            assert_eq!(Fields::of(&headers).tag(), 0xff);
            headers.append(REQUEST_START, HeaderValue::from_static(start));
            let expected = match start {
                "t=1" => Ok(&headers[REQUEST_START]),
                _ => Err(Rejected),
            };
            assert_eq!(Fields::of(&headers).start, Some(expected));
        }
    }

    #[test]
    fn other_ids_are_no_tags() {
        for id in [
            "0123456789abcde",
            "0123456789abcdef0",
            "+123456789abcdef",
            "0123456789abcdeg",
        ] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(id))]);
            assert_eq!(Fields::of(&headers).tag(), 0, "{id}");
        }
    }
}
