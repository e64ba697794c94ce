//! The exporter: `/metrics` and health on a port and a thread of their own, so that they answer
//! while every server thread is blocked.
//!
//! [`super::Metrics::export`] does it for one server; for more of them, or routes of one's own beside
//! them:
//!
//! ```
//! use std::net::TcpListener;
//! use thread_states::metrics::{self, Metrics, exporter};
//!
//! let (shop, admin) = (Metrics::new("shop")?, Metrics::new("admin")?);
//! let routes = exporter::routes(metrics::registry([shop, admin])?);
//! let address = exporter::spawn(TcpListener::bind("127.0.0.1:0")?, routes)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::{Encoder, TextEncoder};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// How long a client may be silent before and between its requests: its connection is a file
/// descriptor that the servers cannot have meanwhile.
const IDLE: Duration = Duration::from_secs(10);
/// Connections at once, of which each is a file descriptor, too; beyond them the kernel queues. Far
/// more than scrapes, health checks and viewers need.
const MOST_CONNECTIONS: usize = 256;
/// How long to wait before the next `accept` after one failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the servers accept connections, as `/readyz` tells. Clones share one answer.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on the answer is `ready`.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The exporter's routes: `/metrics` and `/healthz`, which answers as long as the process lives.
pub fn routes(registry: prometheus::Registry) -> Router {
    Router::new()
        .route("/metrics", get(move || async move { metrics(&registry) }))
        .route("/healthz", get(async || "alive\n"))
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such page on the metrics port"))
}

/// The route `/readyz`, to be merged with [`routes`]: 200 while ready, else 503.
pub fn readiness_route(readiness: Readiness) -> Router {
    Router::new().route("/readyz", get(move || async move { ready(&readiness) }))
}

fn metrics(registry: &prometheus::Registry) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => ([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn ready(readiness: &Readiness) -> Response {
    if readiness.get() {
        "accepting\n".into_response()
    } else {
        problem(StatusCode::SERVICE_UNAVAILABLE, "not accepting connections")
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    Problem::new(status, detail).into_response()
}

/// Serves `routes` on an OS thread of their own, named `exporter`, as long as the process lives.
/// Returns the address that it listens on.
///
/// # Errors
///
/// When the thread cannot be started.
pub fn spawn(listener: TcpListener, routes: Router) -> io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let routes = routes.method_not_allowed_fallback(async || {
        problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "this method is not allowed here; the header Allow names those that are",
        )
    });
    thread::Builder::new()
        .name("exporter".into())
        .spawn(move || runtime.block_on(serve(listener, routes, MOST_CONNECTIONS)))?;
    Ok(address)
}

async fn serve(listener: tokio::net::TcpListener, routes: Router, most_connections: usize) {
    let places = Arc::new(Semaphore::new(most_connections));
    // Nobody closes the semaphore.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve_connection(
                stream,
                routes.clone(),
                place,
            ))),
            Err(error) => {
                tracing::warn!(%error, "the metrics port can't accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, routes: Router, _place: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the metrics port ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_silent_client_does_not_keep_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = spawn(listener, Router::new()).unwrap();
        let mut silent = TcpStream::connect(address).unwrap();
        silent.set_read_timeout(Some(2 * IDLE)).unwrap();
        let started = Instant::now();
        assert_eq!(silent.read(&mut [0]).unwrap(), 0);
        assert!(started.elapsed() >= IDLE / 2);
    }

    #[tokio::test]
    async fn beyond_the_most_connections_one_waits_until_another_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(async || "here"));
        tokio::spawn(serve(listener, routes, 2));
        tokio::task::spawn_blocking(move || {
            let ask = || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    .unwrap();
                stream
            };
            let answered = |stream: &mut TcpStream, within| {
                stream.set_read_timeout(Some(within)).unwrap();
                stream.read(&mut [0; 512]).is_ok_and(|length| length > 0)
            };
            let (mut one, mut other) = (ask(), ask());
            assert!(answered(&mut one, IDLE) && answered(&mut other, IDLE));
            let mut late = ask();
            assert!(!answered(&mut late, Duration::from_millis(300)));
            drop(one);
            assert!(answered(&mut late, IDLE));
        })
        .await
        .unwrap();
    }
}
