//! What the front serves, and its bounds. The defaults are those of `nginx/`.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::PathAndQuery;

/// What the front serves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The servers behind the front.
    pub upstreams: Vec<Upstream>,
    /// The live page. Default: none.
    pub assets: Vec<Asset>,
    /// How long the front waits for whom.
    pub timeouts: Timeouts,
    /// How much a client may send.
    pub limits: Limits,
}

impl Config {
    /// These servers with the default timeouts and limits, and no page.
    #[must_use]
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        Self {
            upstreams,
            assets: Vec::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}

/// A server behind the front.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name, one path segment: `/NAME/…` goes to `server`, `/live/NAME` to `threads`.
    pub name: &'static str,
    /// Where it takes requests.
    pub server: SocketAddr,
    /// Whether a connection to it serves more than one request. Off for a server whose threads
    /// own a connection until it closes: a kept, idle one would own a thread.
    pub keep_alive: bool,
    /// Where it tells its threads' states as server-sent events.
    pub threads: Target,
}

/// One address on one server.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server.
    pub server: SocketAddr,
    /// The path, with a query if it needs one.
    pub path: PathAndQuery,
}

impl Target {
    /// `path` on `server`.
    ///
    /// # Panics
    ///
    /// If `path` is no path; it is a constant of the program, not input.
    #[must_use]
    pub fn new(server: SocketAddr, path: &'static str) -> Self {
        Self {
            server,
            path: PathAndQuery::from_static(path),
        }
    }
}

/// A file of the live page, kept in memory.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its path at the front, e.g. `/live/page.js`.
    pub path: &'static str,
    /// Its media type, e.g. `text/javascript; charset=utf-8`.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// How long the front waits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a server to take the connection. Default: 5 s.
    pub connect: Duration,
    /// For a server's answer to begin, counted from the request's head, and then for each next
    /// piece of it. Default: 600 s, for two of the longest waits (300 s) on one thread.
    pub upstream: Duration,
    /// For a client: to send a head, counted from the end of the answer before, to send the next
    /// piece of a body, and to take the next piece of an answer. Default: 60 s.
    pub client: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            upstream: Duration::from_secs(600),
            client: Duration::from_secs(60),
        }
    }
}

/// How much a client may send, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request's head as a whole. Default: 32 KiB.
    pub head: usize,
    /// The target in the request line. Default: 8 KiB.
    pub target: usize,
    /// A request's body. Default: 1 MiB, as the servers'.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 32 * 1024,
            target: 8 * 1024,
            body: 1024 * 1024,
        }
    }
}
