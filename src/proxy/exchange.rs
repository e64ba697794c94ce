//! One request and its answer.

use std::net::IpAddr;

use futures_util::StreamExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, LOCATION, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, BodyStream, Limited, StreamBody};
use hyper::body::{Body as _, Incoming};
use tower_http::timeout::TimeoutBody;

use super::config::{Config, Upstream};
use super::refusal::{BodyError, Refusal};
use super::routes::{self, Destination};
use super::stop::Stopping;
use super::upstream::{self, Upstreams};
use super::{Body, assets, headers};

/// Answers requests: what all connections of the front share.
#[derive(Debug)]
pub(super) struct Exchanges {
    config: Config,
    upstreams: Upstreams,
    stopping: Stopping,
}

impl Exchanges {
    pub(super) fn new(config: Config, stopping: Stopping) -> Self {
        let upstreams = Upstreams::new(&config);
        Self {
            config,
            upstreams,
            stopping,
        }
    }

    /// Answers one request, whatever is wrong with it.
    pub(super) async fn answer(
        &self,
        client: IpAddr,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let id = headers::request_id(request.headers());
        let fields = request.headers_mut();
        // Before anything is added, so that Connection can't name it.
        headers::drop_hop_by_hop(fields);
        fields.insert(headers::REQUEST_ID, id.clone());
        let answer = self.dispatch(client, request).await;
        let mut response = answer.unwrap_or_else(|refusal| {
            if refusal.status().is_server_error() {
                tracing::warn!(request_id = ?id, "{refusal}");
            } else {
                tracing::debug!(request_id = ?id, "{refusal}");
            }
            refusal.into_response()
        });
        response.headers_mut().insert(headers::REQUEST_ID, id);
        response
    }

    async fn dispatch(
        &self,
        client: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        self.check(&request)?;
        match routes::find(&self.config, request.uri()) {
            Destination::Asset(asset) => match *request.method() {
                Method::GET | Method::HEAD => Ok(assets::answer(asset, request.headers())),
                _ => Err(Refusal::Method),
            },
            Destination::Server(upstream, path) => {
                let path = path.map_err(|_| Refusal::Target)?;
                self.to_server(upstream, path, client, request).await
            }
            Destination::Threads(upstream) => self.to_threads(upstream, client, request).await,
            Destination::Slash(location) => redirect(&location),
            Destination::Nowhere => Err(Refusal::NotFound(routes::all(&self.config))),
        }
    }

    /// What holds for every request, wherever it goes.
    fn check(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        let hosts = request.headers().get_all(HOST).iter().count();
        if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
            return Err(Refusal::Host);
        }
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method);
        }
        let target = request
            .uri()
            .path_and_query()
            .map_or("", PathAndQuery::as_str);
        if target.len() > self.config.limits.target {
            return Err(Refusal::LongTarget(self.config.limits.target));
        }
        let largest = self.config.limits.body;
        if request.body().size_hint().lower() > largest as u64 {
            return Err(Refusal::LargeBody(largest));
        }
        Ok(())
    }

    async fn to_server(
        &self,
        upstream: &Upstream,
        path: PathAndQuery,
        client: IpAddr,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        *request.uri_mut() = upstream::uri(upstream.server, path).map_err(|_| Refusal::Target)?;
        let prefix = HeaderValue::try_from(format!("/{}", upstream.name)).ok();
        let request = self.outbound(request, client, prefix, upstream.keep_alive);
        let response = self.upstreams.send(upstream.name, request).await?;
        Ok(self.inbound(response))
    }

    /// Events end when the front stops: their stream has no end of its own to wait for.
    async fn to_threads(
        &self,
        upstream: &Upstream,
        client: IpAddr,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let target = &upstream.threads;
        *request.uri_mut() =
            upstream::uri(target.server, target.path.clone()).map_err(|_| Refusal::Target)?;
        let request = self.outbound(request, client, None, false);
        let response = self.upstreams.send(upstream.name, request).await?;
        let stop = self.stopping.clone().wait();
        Ok(self.inbound(response).map(|body| {
            let frames = BodyStream::new(body).take_until(Box::pin(stop));
            BodyExt::boxed_unsync(StreamBody::new(frames))
        }))
    }

    /// The request as the server is to see it.
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
        headers::tell_origin(fields, client, prefix);
        headers::tell_start(fields);
        // Said here, because hyper takes a GET that says nothing for one without a body.
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

    /// The answer as the client is to see it.
    fn inbound(&self, mut response: Response<Incoming>) -> Response<Body> {
        headers::drop_hop_by_hop(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        response.map(|body| match body.is_end_stream() {
            true => Body::default(),
            false => TimeoutBody::new(self.config.timeouts.upstream, body).boxed_unsync(),
        })
    }
}

/// Temporary, because browsers keep a permanent one, and the next program on the port has other
/// paths.
fn redirect(location: &str) -> Result<Response<Body>, Refusal> {
    let location = HeaderValue::try_from(location).map_err(|_| Refusal::Target)?;
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
