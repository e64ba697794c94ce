//! Client for the servers behind the front.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::body::Body;
use super::config::ProxyConfig;
use super::rejection::Rejection;

/// Time for which an idle connection is kept for the next request. Shorter than the 75 s of the
/// servers, so that the front rarely sends a request on a connection that the server is closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most idle connections to one server.
const MAX_IDLE: usize = 256;

/// Bytes that hyper buffers for a server, in each direction; its default is 408 KiB.
const BUFFER: usize = 64 * 1024;

/// Sends requests to the servers.
#[derive(Debug)]
pub(super) struct Upstreams {
    /// Keeps each connection for the next request, unless the request has `Connection: close`.
    client: Client<HttpConnector, Body>,
    timeout: Duration,
    max_body: usize,
}

impl Upstreams {
    pub(super) fn new(config: &ProxyConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.timeouts.connect));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(BUFFER)
            .build(connector);
        Self {
            client,
            timeout: config.timeouts.upstream,
            max_body: config.limits.body,
        }
    }

    /// Sends a request to the server of this name and waits for the head of its response. If the
    /// future is dropped before that, the connection closes, which tells the server that the
    /// client has disconnected.
    pub(super) async fn send(
        &self,
        name: &'static str,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Rejection> {
        let response = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        response
            .map_err(|_| Rejection::Slow(name))?
            .map_err(|error| {
                tracing::debug!(server = name, error = &error as &dyn Error, "no response");
                Rejection::of(&error, name, self.max_body)
            })
    }
}

/// Builds the URI of `path` on `server`.
pub(super) fn uri(server: SocketAddr, path: PathAndQuery) -> Result<Uri, http::Error> {
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(Authority::try_from(server.to_string())?)
        .path_and_query(path)
        .build()
}
