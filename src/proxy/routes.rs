//! Destinations of paths. Paths are compared as they were sent, without decoding or normalization.

use http::Uri;
use http::uri::{InvalidUri, PathAndQuery};

use super::config::{Asset, ProxyConfig, ServerPath, Upstream};

/// Destination of a request.
#[derive(Debug)]
pub(super) enum Destination<'a> {
    /// A file of the live page.
    Asset(&'a Asset),
    /// A server, with the path that is sent to it.
    Server(&'a Upstream, Result<PathAndQuery, InvalidUri>),
    /// A server's event stream.
    Threads(&'a Upstream),
    /// The documentation.
    Docs(ServerPath),
    /// A redirect to the same path with a trailing slash.
    Redirect(String),
    /// No such path.
    NotFound,
}

/// Returns the destination of a request for `uri`.
pub(super) fn find<'a>(config: &'a ProxyConfig, uri: &Uri) -> Destination<'a> {
    let path = uri.path();
    if let Some(asset) = config.assets.iter().find(|asset| asset.path == path) {
        return Destination::Asset(asset);
    }
    if let Some(name) = path.strip_prefix("/live/") {
        let upstream = config.upstreams.iter().find(|u| u.name == name);
        return upstream.map_or(Destination::NotFound, Destination::Threads);
    }
    if let (Some(server), Some(whole)) = (config.docs, uri.path_and_query()) {
        match after("docs", whole) {
            Some(rest) if rest.starts_with('/') => {
                let path = whole.clone();
                return Destination::Docs(ServerPath { server, path });
            }
            Some(rest) => return Destination::Redirect(format!("/docs/{rest}")),
            None => {}
        }
    }
    config
        .upstreams
        .iter()
        .find_map(|upstream| under(upstream, uri))
        .unwrap_or(Destination::NotFound)
}

/// Lists all paths, for an error response.
pub(super) fn list(config: &ProxyConfig) -> String {
    let names = config.upstreams.iter().map(|upstream| upstream.name);
    let paths = names.map(|name| format!(", /{name}/, /live/{name}"));
    let docs = config.docs.map_or("", |_| ", /docs/");
    format!("/{}{docs}", paths.collect::<String>())
}

/// Returns the destination of `uri` if its first segment is the server's name.
fn under<'a>(upstream: &'a Upstream, uri: &Uri) -> Option<Destination<'a>> {
    let rest = after(upstream.name, uri.path_and_query()?)?;
    Some(if rest.starts_with('/') {
        Destination::Server(upstream, PathAndQuery::try_from(rest))
    } else {
        Destination::Redirect(format!("/{}/{rest}", upstream.name))
    })
}

/// Returns what follows the first segment if that is `name`: nothing, or a text that begins with `/` or `?`.
fn after<'a>(name: &str, whole: &'a PathAndQuery) -> Option<&'a str> {
    let rest = whole.as_str().strip_prefix('/')?.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::ServerPath;

    fn config() -> ProxyConfig {
        let server = ([127, 0, 0, 1], 1).into();
        let mut config = ProxyConfig::new(vec![Upstream {
            name: "sync",
            server,
            keep_alive: false,
            threads: ServerPath::new(server, "/threads/stream"),
        }]);
        config.assets.push(Asset {
            path: "/".into(),
            content_type: "text/html".into(),
            bytes: "".into(),
        });
        config.docs = Some(server);
        config
    }

    fn destination(uri: &str) -> String {
        match find(&config(), &uri.parse().unwrap()) {
            Destination::Asset(asset) => format!("asset {}", asset.path),
            Destination::Server(upstream, path) => format!("{} {}", upstream.name, path.unwrap()),
            Destination::Threads(upstream) => format!("threads {}", upstream.name),
            Destination::Docs(to) => format!("docs {}", to.path),
            Destination::Redirect(location) => format!("redirect {location}"),
            Destination::NotFound => "not found".into(),
        }
    }

    #[test]
    fn the_documentation_keeps_its_path() {
        assert_eq!(destination("/docs/"), "docs /docs/");
        assert_eq!(destination("/docs/labs/a.md?b"), "docs /docs/labs/a.md?b");
        assert_eq!(destination("/docs?a"), "redirect /docs/?a");
        let mut config = config();
        config.docs = None;
        let uri = "/docs/".parse().unwrap();
        assert!(matches!(find(&config, &uri), Destination::NotFound));
    }

    #[test]
    fn only_the_prefix_is_removed() {
        assert_eq!(destination("/sync/"), "sync /");
        assert_eq!(destination("/sync/?seconds=2"), "sync /?seconds=2");
        assert_eq!(
            destination("/sync/a%2Fb//c/../d?e=/"),
            "sync /a%2Fb//c/../d?e=/"
        );
        assert_eq!(destination("http://host/sync/dummy"), "sync /dummy");
    }

    #[test]
    fn a_missing_trailing_slash_is_added_by_redirect() {
        assert_eq!(destination("/sync"), "redirect /sync/");
        assert_eq!(destination("/sync?seconds=2"), "redirect /sync/?seconds=2");
    }

    #[test]
    fn page_and_event_streams_have_their_paths() {
        assert_eq!(destination("/"), "asset /");
        assert_eq!(destination("/?x"), "asset /");
        assert_eq!(destination("/live/sync"), "threads sync");
        assert_eq!(destination("/live/sync?x"), "threads sync");
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "/syncs",
            "//sync/",
            "/%73ync/",
            "/live/",
            "/live/other",
            "/live/sync/",
            "/docsx",
            "/metrics",
            "*",
        ] {
            assert_eq!(destination(path), "not found", "{path}");
        }
        assert_eq!(list(&config()), "/, /sync/, /live/sync, /docs/");
    }
}
