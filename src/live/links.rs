//! Other pages of the lab that the live page leads to.

use std::str::FromStr;

use http::Uri;
use serde::Serialize;

/// A link to another page of the lab, e.g. Grafana where that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What it is called.
    pub name: String,
    /// Where it is: an absolute `http` or `https` URL.
    pub url: String,
}

/// A text that is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("NAME=URL is allowed, e.g. Grafana=http://127.0.0.1:3000")]
pub struct NoLink;

impl FromStr for Link {
    type Err = NoLink;

    /// `NAME=URL`.
    fn from_str(text: &str) -> Result<Self, NoLink> {
        let (name, url) = text.split_once('=').ok_or(NoLink)?;
        let parsed: Uri = url.parse().map_err(|_| NoLink)?;
        // Nothing that a browser would run, such as "javascript:".
        let leads_somewhere =
            matches!(parsed.scheme_str(), Some("http" | "https")) && parsed.host().is_some();
        if name.is_empty() || !leads_somewhere {
            return Err(NoLink);
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
            assert_eq!(bad.parse::<Link>(), Err(NoLink), "{bad}");
        }
    }
}
