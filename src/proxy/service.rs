//! One request through the front, and its response.

use std::net::IpAddr;

use futures_util::StreamExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, LOCATION, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, BodyStream, Limited, StreamBody};
use hyper::body::{Body as _, Incoming};
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutBody;

use super::body::{Body, BodyError};
use super::config::{ProxyConfig, ServerPath, Upstream};
use super::rejection::Rejection;
use super::routes::{self, Destination};
use super::upstream::{self, Upstreams};
use super::{assets, headers};
use crate::wire;

/// Responds to requests; all connections share it.
#[derive(Debug)]
pub(super) struct ProxyService {
    config: ProxyConfig,
    upstreams: Upstreams,
    shutdown: CancellationToken,
}

impl ProxyService {
    pub(super) fn new(config: ProxyConfig, shutdown: CancellationToken) -> Self {
        let upstreams = Upstreams::new(&config);
        Self {
            config,
            upstreams,
            shutdown,
        }
    }

    /// Responds to one request, with an error response if it cannot be forwarded.
    pub(super) async fn respond(
        &self,
        client: IpAddr,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let id = headers::request_id(request.headers());
        let has_body = !request.body().is_end_stream();
        // Before any field is removed.
        let checked = self.check(&request);
        // The host of an absolute target replaces that of the Host field (RFC 9112, section 3.2.2).
        let target_host = request.uri().authority();
        let target_host = target_host.and_then(|host| HeaderValue::try_from(host.as_str()).ok());
        let fields = request.headers_mut();
        // Before any field is added, so that the client's Connection field cannot remove it.
        headers::remove_hop_by_hop(fields);
        headers::remove_other_spellings(fields);
        fields.insert(headers::REQUEST_ID, id.clone());
        if let Some(host) = target_host {
            fields.insert(HOST, host);
        }
        let result = match checked {
            Ok(()) => self.dispatch(client, request).await,
            Err(rejection) => Err(rejection),
        };
        let mut response = result.unwrap_or_else(|rejection| {
            // The others are errors of the client.
            if matches!(rejection, Rejection::Unreachable(_) | Rejection::Slow(_)) {
                tracing::warn!(request_id = ?id, "{rejection}");
            } else {
                tracing::debug!(request_id = ?id, "{rejection}");
            }
            closing(rejection.into_response(), has_body)
        });
        response.headers_mut().insert(headers::REQUEST_ID, id);
        // After a shutdown hyper announces the close as well, but only once the connection's task has
        // noticed the shutdown, which may be after this response.
        closing(response, self.shutdown.is_cancelled())
    }

    async fn dispatch(
        &self,
        client: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Rejection> {
        let has_body = !request.body().is_end_stream();
        match routes::find(&self.config, request.uri()) {
            Destination::Asset(asset) => match *request.method() {
                Method::GET | Method::HEAD => {
                    Ok(closing(assets::respond(asset, request).await, has_body))
                }
                _ => Err(Rejection::Method),
            },
            Destination::Server(upstream, path) => {
                let path = path.map_err(|_| Rejection::Target)?;
                self.to_server(upstream, path, client, request).await
            }
            Destination::Threads(upstream) => self.to_threads(upstream, client, request).await,
            Destination::Docs(to) => {
                let outbound = |request| self.outbound(request, client, None, false);
                self.forward("docs", to, request, outbound).await
            }
            Destination::Redirect(location) => Ok(closing(redirect(&location)?, has_body)),
            Destination::NotFound => Err(Rejection::NotFound(routes::list(&self.config))),
        }
    }

    /// Checks that apply to every request, whatever its path.
    fn check(&self, request: &Request<Incoming>) -> Result<(), Rejection> {
        // Before the head, because the target of CONNECT is not a path.
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Rejection::Method);
        }
        wire::check_head(request)?;
        let target = request
            .uri()
            .path_and_query()
            .map_or("", PathAndQuery::as_str);
        if target.len() > self.config.limits.target {
            return Err(Rejection::LongTarget(self.config.limits.target));
        }
        let largest = self.config.limits.body;
        if request.body().size_hint().lower() > largest as u64 {
            return Err(Rejection::LargeBody(largest));
        }
        Ok(())
    }

    async fn to_server(
        &self,
        upstream: &Upstream,
        path: PathAndQuery,
        client: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Rejection> {
        let prefix = HeaderValue::try_from(format!("/{}", upstream.name)).ok();
        let to = ServerPath {
            server: upstream.server,
            path,
        };
        let outbound = |request| self.outbound(request, client, prefix, upstream.keep_alive);
        self.forward(upstream.name, to, request, outbound).await
    }

    /// Forwards an event stream. It has no end to wait for, so a shutdown ends it.
    async fn to_threads(
        &self,
        upstream: &Upstream,
        client: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Rejection> {
        let to = upstream.threads.clone();
        let outbound = |request| self.outbound(request, client, None, false);
        let response = self.forward(upstream.name, to, request, outbound).await?;
        let shutdown = self.shutdown.clone().cancelled_owned();
        Ok(response.map(|body| {
            let frames = BodyStream::new(body).take_until(Box::pin(shutdown));
            BodyExt::boxed_unsync(StreamBody::new(frames))
        }))
    }

    /// Forwards a request to a path of the server with this name, as `outbound` turns it into the one that is sent.
    async fn forward(
        &self,
        name: &'static str,
        to: ServerPath,
        mut request: Request<Incoming>,
        outbound: impl FnOnce(Request<Incoming>) -> Request<Body>,
    ) -> Result<Response<Body>, Rejection> {
        *request.uri_mut() = upstream::uri(to.server, to.path).map_err(|_| Rejection::Target)?;
        let response = self.upstreams.send(name, outbound(request)).await?;
        Ok(self.inbound(response))
    }

    /// Returns the request as it is sent to the server.
    fn outbound(
        &self,
        mut request: Request<Incoming>,
        client: IpAddr,
        prefix: Option<HeaderValue>,
        keep_alive: bool,
    ) -> Request<Body> {
        *request.version_mut() = Version::HTTP_11;
        let length = request.body().size_hint().exact();
        let fields = request.headers_mut();
        headers::set_origin(fields, client, prefix);
        headers::set_start(fields);
        // Set here, because hyper assumes that a GET without either field has no body.
        match length {
            Some(0) => {}
            Some(length) => drop(fields.insert(CONTENT_LENGTH, length.into())),
            None => {
                fields.remove(CONTENT_LENGTH);
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        if !keep_alive {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        request.map(|body| self.request_body(body))
    }

    fn request_body(&self, body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::default();
        }
        let body = Limited::new(body, self.config.limits.body);
        TimeoutBody::new(self.config.timeouts.client, body)
            .map_err(|error| BodyError::from(error).into())
            .boxed_unsync()
    }

    /// Returns the response as it is sent to the client.
    fn inbound(&self, mut response: Response<Incoming>) -> Response<Body> {
        headers::remove_hop_by_hop(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        response.map(|body| match body.is_end_stream() {
            true => Body::default(),
            false => TimeoutBody::new(self.config.timeouts.upstream, body).boxed_unsync(),
        })
    }
}

/// Announces that the connection closes after this response, if it does: because the front shuts down,
/// or because the request has a body that the front does not read. A client that does not know would
/// lose its next request (RFC 9112, section 9.6).
fn closing(mut response: Response<Body>, closes: bool) -> Response<Body> {
    if closes {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Returns a redirect. It is temporary, because browsers cache a permanent one, and the next program
/// that listens on the port has other paths.
fn redirect(location: &str) -> Result<Response<Body>, Rejection> {
    let location = HeaderValue::try_from(location).map_err(|_| Rejection::Target)?;
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
