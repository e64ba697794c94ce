//! Which path goes where. Paths are compared as they were sent: nothing is decoded or normalised.

use http::Uri;
use http::uri::{InvalidUri, PathAndQuery};

use super::config::{Asset, Config, Upstream};

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Destination<'a> {
    /// A file of the live page.
    Asset(&'a Asset),
    /// A server, with the path that it is to see.
    Server(&'a Upstream, Result<PathAndQuery, InvalidUri>),
    /// A server's events.
    Threads(&'a Upstream),
    /// The same with a slash at the end.
    Slash(String),
    /// There is no such path.
    Nowhere,
}

/// Where a request for `uri` goes.
pub(super) fn find<'a>(config: &'a Config, uri: &Uri) -> Destination<'a> {
    let path = uri.path();
    if let Some(asset) = config.assets.iter().find(|asset| asset.path == path) {
        return Destination::Asset(asset);
    }
    if let Some(name) = path.strip_prefix("/live/") {
        let upstream = config.upstreams.iter().find(|u| u.name == name);
        return upstream.map_or(Destination::Nowhere, Destination::Threads);
    }
    config
        .upstreams
        .iter()
        .find_map(|upstream| under(upstream, uri))
        .unwrap_or(Destination::Nowhere)
}

/// All that there is, in words.
pub(super) fn all(config: &Config) -> String {
    let names = config.upstreams.iter().map(|upstream| upstream.name);
    let paths = names.map(|name| format!(", /{name}/, /live/{name}"));
    format!("/{}", paths.collect::<String>())
}

/// Where `uri` goes if it lies under the server's name.
fn under<'a>(upstream: &'a Upstream, uri: &Uri) -> Option<Destination<'a>> {
    let whole = uri.path_and_query()?.as_str();
    let rest = whole.strip_prefix('/')?.strip_prefix(upstream.name)?;
    match rest.bytes().next() {
        Some(b'/') => Some(Destination::Server(upstream, PathAndQuery::try_from(rest))),
        None | Some(b'?') => Some(Destination::Slash(format!("/{}/{rest}", upstream.name))),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Target;

    fn config() -> Config {
        let server = ([127, 0, 0, 1], 1).into();
        let mut config = Config::new(vec![Upstream {
            name: "sync",
            server,
            keep_alive: false,
            threads: Target::new(server, "/threads/stream"),
        }]);
        config.assets.push(Asset {
            path: "/",
            content_type: "text/html",
            bytes: b"",
        });
        config
    }

    fn destination(uri: &str) -> String {
        match find(&config(), &uri.parse().unwrap()) {
            Destination::Asset(asset) => format!("asset {}", asset.path),
            Destination::Server(upstream, path) => format!("{} {}", upstream.name, path.unwrap()),
            Destination::Threads(upstream) => format!("threads {}", upstream.name),
            Destination::Slash(location) => format!("slash {location}"),
            Destination::Nowhere => "nowhere".into(),
        }
    }

    #[test]
    fn removes_the_prefix_and_nothing_else() {
        assert_eq!(destination("/sync/"), "sync /");
        assert_eq!(destination("/sync/?seconds=2"), "sync /?seconds=2");
        assert_eq!(
            destination("/sync/a%2Fb//c/../d?e=/"),
            "sync /a%2Fb//c/../d?e=/"
        );
        assert_eq!(destination("http://host/sync/dummy"), "sync /dummy");
    }

    #[test]
    fn adds_the_slash() {
        assert_eq!(destination("/sync"), "slash /sync/");
        assert_eq!(destination("/sync?seconds=2"), "slash /sync/?seconds=2");
    }

    #[test]
    fn knows_the_page_and_the_events() {
        assert_eq!(destination("/"), "asset /");
        assert_eq!(destination("/?x"), "asset /");
        assert_eq!(destination("/live/sync"), "threads sync");
        assert_eq!(destination("/live/sync?x"), "threads sync");
    }

    #[test]
    fn nothing_else_is_reachable() {
        for path in [
            "/syncs",
            "//sync/",
            "/%73ync/",
            "/live/",
            "/live/other",
            "/live/sync/",
            "/metrics",
            "*",
        ] {
            assert_eq!(destination(path), "nowhere", "{path}");
        }
        assert_eq!(all(&config()), "/, /sync/, /live/sync");
    }
}
