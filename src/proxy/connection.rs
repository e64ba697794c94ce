//! One client's connection, from accept to close.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;

use http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::client_stream::ClientStream;
use super::config::{Config, Timeouts};
use super::exchange::Exchanges;
use super::stop::Stopping;

/// Serves connections.
#[derive(Debug)]
pub(super) struct Connections {
    http: http1::Builder,
    timeouts: Timeouts,
    exchanges: Exchanges,
    stopping: Stopping,
}

impl Connections {
    pub(super) fn new(config: Config, stopping: Stopping) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.timeouts.client)
            .max_header_size(config.limits.head);
        Self {
            http,
            timeouts: config.timeouts,
            exchanges: Exchanges::new(config, stopping.clone()),
            stopping,
        }
    }

    /// Serves the connection until it closes; once the front stops, until its request is answered.
    pub(super) async fn serve(&self, stream: TcpStream, client: IpAddr) {
        // Refused only for a socket that is closed already, which hyper will meet next.
        let _ = stream.set_nodelay(true);
        let (stream, lingering) = ClientStream::new(stream, self.timeouts.client);
        let service = service_fn(|request: Request<Incoming>| {
            lingering.set(!request.body().is_end_stream());
            async move { Ok::<_, Infallible>(self.exchanges.answer(client, request).await) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.clone().wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%client, %error, "a client's connection broke");
        }
    }
}
