//! Links from the live page to other pages of the lab.

use std::str::FromStr;

use http::Uri;
use serde::Serialize;

/// A link to another page, e.g. to Grafana.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Text of the link.
    pub name: String,
    /// Absolute `http` or `https` URL.
    pub url: String,
}

/// Error for a text that is not a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME=URL, e.g. Grafana=http://127.0.0.1:3000")]
pub struct InvalidLink;

impl FromStr for Link {
    type Err = InvalidLink;

    /// Parses `NAME=URL`.
    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        let (name, url) = text.split_once('=').ok_or(InvalidLink)?;
        let parsed: Uri = url.parse().map_err(|_| InvalidLink)?;
        // Excludes URLs that a browser would run, such as "javascript:".
        let is_absolute =
            matches!(parsed.scheme_str(), Some("http" | "https")) && parsed.host().is_some();
        if name.is_empty() || !is_absolute {
            return Err(InvalidLink);
        }
        Ok(Self {
            name: name.to_owned(),
            url: url.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_name_and_an_absolute_url() {
        let link: Link = "Grafana=http://127.0.0.1:3000/d?a=b".parse().unwrap();
        assert_eq!(link.name, "Grafana");
        assert_eq!(link.url, "http://127.0.0.1:3000/d?a=b");
        for bad in [
            "",
            "Grafana",
            "=http://a",
            "A=",
            "A=javascript:alert(1)",
            "A=/b",
            "A=ftp://b",
        ] {
            assert_eq!(bad.parse::<Link>(), Err(InvalidLink), "{bad}");
        }
    }
}
