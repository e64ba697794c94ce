//! The HTTP server of the metrics port.
//!
//! It has its own accept loop because `axum::serve` has neither a header timeout nor a limit of
//! connections, and both protect the file descriptors of the process whose health is in question.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Pause after an `accept` that failed for lack of a resource, such as file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Limits on connections: each one takes a file descriptor that the measured servers cannot use.
#[derive(Debug, Clone, Copy)]
struct ConnectionLimits {
    /// Time that a client may take before and between requests.
    idle: Duration,
    /// Number of connections served at once; others wait in the kernel's accept queue.
    connections: usize,
}

impl Default for ConnectionLimits {
    /// 10 s and 256 connections: far more than scrapes, health checks and viewers need.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            connections: 256,
        }
    }
}

/// Serves `routes` on an OS thread named `exporter` until the process ends. Returns the address that
/// it listens on.
///
/// # Errors
///
/// Returns an error if the listener cannot be made non-blocking, or the runtime or its thread cannot
/// be started.
pub fn spawn(listener: TcpListener, routes: Router) -> io::Result<SocketAddr> {
    spawn_within(ConnectionLimits::default(), listener, routes)
}

fn spawn_within(
    limits: ConnectionLimits,
    listener: TcpListener,
    routes: Router,
) -> io::Result<SocketAddr> {
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
        let detail = "method not allowed; the Allow header lists the allowed methods";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response::<axum::body::Body>()
    });
    thread::Builder::new()
        .name("exporter".into())
        .spawn(move || runtime.block_on(serve(listener, routes, limits)))?;
    Ok(address)
}

async fn serve(listener: tokio::net::TcpListener, routes: Router, limits: ConnectionLimits) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    // Acquiring fails only if the semaphore is closed, which nothing does.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_connection(
                    stream,
                    routes.clone(),
                    limits.idle,
                    permit,
                ));
            }
            // The client went away between its SYN and `accept`: the listener is fine.
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting a connection to the metrics port failed");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Returns whether an `accept` error concerns one connection and not the listener. The same rule as
/// in `axum::serve`; see "Error handling" in accept(2).
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve_connection(
    stream: TcpStream,
    routes: Router,
    idle: Duration,
    _permit: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection to the metrics port failed");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use axum::routing::get;

    use super::*;

    /// Longer than any response here takes.
    const PLENTY: Duration = Duration::from_secs(10);

    #[test]
    fn a_silent_client_is_disconnected_after_the_idle_limit() {
        let limits = ConnectionLimits {
            idle: Duration::from_millis(200),
            ..ConnectionLimits::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = spawn_within(limits, listener, Router::new()).unwrap();
        let started = Instant::now();
        let mut silent = TcpStream::connect(address).unwrap();
        silent.set_read_timeout(Some(PLENTY)).unwrap();
        assert_eq!(silent.read(&mut [0]).unwrap(), 0);
        assert!(started.elapsed() >= limits.idle / 2);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_until_another_one_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(async || "here"));
        let limits = ConnectionLimits {
            connections: 2,
            ..ConnectionLimits::default()
        };
        tokio::spawn(serve(listener, routes, limits));
        tokio::task::spawn_blocking(move || {
            let request = || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    .unwrap();
                stream
            };
            let responds = |stream: &mut TcpStream, within| {
                stream.set_read_timeout(Some(within)).unwrap();
                stream.read(&mut [0; 512]).is_ok_and(|length| length > 0)
            };
            let (mut first, mut second) = (request(), request());
            assert!(responds(&mut first, PLENTY) && responds(&mut second, PLENTY));
            let mut third = request();
            assert!(!responds(&mut third, Duration::from_millis(300)));
            drop(first);
            assert!(responds(&mut third, PLENTY));
        })
        .await
        .unwrap();
    }
}
