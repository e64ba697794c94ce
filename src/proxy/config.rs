//! Servers, files, timeouts and limits of the front. The defaults are those of `nginx/`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;

/// Configuration of the front.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Servers behind the front.
    pub upstreams: Vec<Upstream>,
    /// Files of the live page. Default: none.
    pub assets: Vec<Asset>,
    /// Address of the server to which `/docs/…` is forwarded. Default: none.
    pub docs: Option<SocketAddr>,
    /// Timeouts for servers and clients.
    pub timeouts: Timeouts,
    /// Limits for requests.
    pub limits: RequestLimits,
}

impl ProxyConfig {
    /// The defaults with these servers.
    #[must_use]
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        Self {
            upstreams,
            assets: Vec::new(),
            docs: None,
            timeouts: Timeouts::default(),
            limits: RequestLimits::default(),
        }
    }
}

/// Server behind the front.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Name of the server, one path segment: `/NAME/…` is forwarded to `server`, `/live/NAME` to
    /// `threads`.
    pub name: &'static str,
    /// Address of the server.
    pub server: SocketAddr,
    /// True if a connection to the server is used for more than one request. Off for a server whose
    /// threads serve one connection until it closes: an idle connection would hold a thread.
    pub keep_alive: bool,
    /// Source of the server's thread states as server-sent events.
    pub threads: ServerPath,
}

/// Path on a server.
#[derive(Debug, Clone)]
pub struct ServerPath {
    /// Address of the server.
    pub server: SocketAddr,
    /// Path, with a query if needed.
    pub path: PathAndQuery,
}

impl ServerPath {
    /// Creates a target.
    ///
    /// # Panics
    ///
    /// If `path` is not a valid path. It is a constant of the program, not input.
    #[must_use]
    pub fn new(server: SocketAddr, path: &'static str) -> Self {
        Self {
            server,
            path: PathAndQuery::from_static(path),
        }
    }
}

/// File of the live page, in memory.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Path at the front, e.g. `/live/page.js`.
    pub path: String,
    /// Media type, e.g. `text/javascript; charset=utf-8`.
    pub content_type: String,
    /// Content.
    pub bytes: Bytes,
}

/// Timeouts of the front.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Time for a connection to a server to be established. Default: 5 s.
    pub connect: Duration,
    /// Time between the request's head and the head of the server's response, and then between two
    /// parts of its body. Default: 600 s, twice the longest wait of the app (300 s), so that a request
    /// that queues behind another one on one thread gets its response.
    pub upstream: Duration,
    /// Time for a client to send a head, from the end of the previous response on, to send the next
    /// part of a body, and to read the next part of a response. Default: 60 s.
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

/// Limits for requests and connections.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Size of a request's head in bytes: the request line and the header fields. Default: 31 KiB, which
    /// with the added fields is below the servers' limit of 32 KiB.
    pub head: usize,
    /// Number of header fields. Default: 90. The front adds up to six, and hyper accepts 100.
    pub fields: usize,
    /// Length of the target in the request line, in bytes. Default: 8 KiB.
    pub target: usize,
    /// Size of a request's body in bytes. Default: 1 MiB, as for the servers.
    pub body: usize,
    /// Connections at once; more get a 503. Never more than a third of the file descriptors of the
    /// process: a request has one connection here, and in the lab in one process two more between the
    /// front and a server. Default: 32,768, as for a worker of nginx.
    pub connections: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            head: 31 * 1024,
            fields: 90,
            target: 8 * 1024,
            body: 1024 * 1024,
            connections: 32_768,
        }
    }
}
