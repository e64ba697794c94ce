//! The servers behind the front.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::Body;
use super::config::Config;
use super::refusal::Refusal;

/// How long an idle connection is kept for the next request: shorter than the servers keep it
/// (75 s), so that a request seldom meets a connection that the server is closing.
const KEPT_IDLE: Duration = Duration::from_secs(60);
/// How many idle connections are kept to a server.
const KEPT_CONNECTIONS: usize = 256;

/// Sends requests to the servers.
#[derive(Debug)]
pub(super) struct Upstreams {
    /// Keeps each connection for the next request, unless the request says `Connection: close`.
    client: Client<HttpConnector, Body>,
    timeout: Duration,
    largest_body: usize,
}

impl Upstreams {
    pub(super) fn new(config: &Config) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.timeouts.connect));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_IDLE)
            .pool_max_idle_per_host(KEPT_CONNECTIONS)
            .build(connector);
        Self {
            client,
            timeout: config.timeouts.upstream,
            largest_body: config.limits.body,
        }
    }

    /// Sends a request to the server of this name and waits for its answer to begin. Dropped
    /// before that, it closes the connection: so the server learns that the client went away.
    pub(super) async fn send(
        &self,
        name: &'static str,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Refusal> {
        let answer = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        answer.map_err(|_| Refusal::Slow(name))?.map_err(|error| {
            tracing::debug!(server = name, error = &error as &dyn Error, "no answer");
            Refusal::of(&error, name, self.largest_body)
        })
    }
}

/// The URI of `path` on `server`.
pub(super) fn uri(server: SocketAddr, path: PathAndQuery) -> Result<Uri, http::Error> {
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(Authority::try_from(server.to_string())?)
        .path_and_query(path)
        .build()
}
