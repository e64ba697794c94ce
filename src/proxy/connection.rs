//! One client's connection, from accept to close.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, GuardedBody};
use super::client_stream::ClientStream;
use super::config::{ProxyConfig, RequestLimits, Timeouts};
use super::headers;
use super::service::ProxyService;
use crate::wire::{self, HeadLimits};
use thread_states::problem::Problem;

/// Bytes that hyper buffers for a client, in each direction; its default is 408 KiB.
const BUFFER: usize = 64 * 1024;

/// Serves connections; all of them share it.
#[derive(Debug)]
pub(super) struct ConnectionHandler {
    http: http1::Builder,
    timeouts: Timeouts,
    limits: RequestLimits,
    service: ProxyService,
    shutdown: CancellationToken,
}

impl ConnectionHandler {
    pub(super) fn new(config: ProxyConfig, shutdown: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.timeouts.client)
            .max_header_size(config.limits.head)
            .max_headers(config.limits.fields)
            .max_buf_size(BUFFER.max(config.limits.head));
        Self {
            http,
            timeouts: config.timeouts,
            limits: config.limits,
            service: ProxyService::new(config, shutdown.clone()),
            shutdown,
        }
    }

    /// Serves a connection until it closes. After a shutdown it ends with the request in flight.
    pub(super) async fn serve(&self, socket: TcpStream, client: IpAddr) {
        let activity = Arc::<Activity>::default();
        let stream = ClientStream::new(socket, self.timeouts.client, Arc::clone(&activity));
        let has_body = AtomicBool::new(false);
        let service = service_fn(|request: Request<Incoming>| {
            let guard = activity.start();
            has_body.store(!request.body().is_end_stream(), Relaxed);
            async move {
                let response = self.service.respond(client, request).await;
                Ok::<_, Infallible>(response.map(|body| GuardedBody {
                    body,
                    _request: guard,
                }))
            }
        });
        let mut connection = self.http.serve_connection(TokioIo::new(stream), service);
        // hyper-util's `GracefulShutdown` does the same, but consumes the connection, whose parts
        // are needed to close it.
        let result = tokio::select! {
            biased;
            result = &mut connection => result,
            () = self.shutdown.cancelled() => {
                let shut_down = http1::Connection::graceful_shutdown;
                let is_idle = || activity.is_idle();
                let last = wire::finish(&mut connection, shut_down, is_idle);
                let Some(result) = Box::pin(last).await else {
                    return;
                };
                result
            }
        };
        if let Err(error) = &result {
            tracing::debug!(%client, %error, "a client's connection ended early");
        }
        let parts = connection.into_parts();
        // Whether a body was read to its end is not known here; lingering without need is harmless.
        let unread = has_body.load(Relaxed) || !parts.read_buf.is_empty();
        let (socket, error_status) = parts.io.into_inner().into_parts();
        let reply = wire::parse_status(error_status, &result, &parts.read_buf)
            .map(|status| self.error_reply(status));
        if wire::must_linger(&socket, reply.as_ref(), unread) {
            wire::close(socket, reply).await;
        }
    }

    /// Responds with 503 on a connection beyond the limit of `max`, whatever the client sends.
    pub(super) async fn reject(&self, socket: TcpStream, max: usize) {
        let detail =
            format!("{max} connections are open, the maximum of the front; try again later");
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        let fields = [
            (RETRY_AFTER, HeaderValue::from_static("1")),
            (headers::REQUEST_ID, headers::new_request_id()),
        ];
        wire::close(socket, Some(wire::error_reply(&problem, &fields))).await;
    }

    fn error_reply(&self, status: StatusCode) -> Bytes {
        let limits = HeadLimits {
            bytes: self.limits.head,
            target: self.limits.target,
            fields: self.limits.fields,
        };
        let problem = Problem::new(status, wire::detail(status, limits));
        wire::error_reply(
            &problem,
            &[(headers::REQUEST_ID, headers::new_request_id())],
        )
    }
}
