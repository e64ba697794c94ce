//! The HTTP server of the metrics port.
//!
//! It has its own accept loop because `axum::serve` has neither timeouts nor a limit of connections,
//! and both protect the file descriptors of the process whose health is in question.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use axum_core::BoxError;
use axum_core::body::Body;
use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower_service::Service;

use super::client_stream::{ClientStream, WaitsSince};
use super::connections::{ConnectionLimits, Connections};
use super::request_rules::RequestRules;
use super::running::Exporter;
use super::spare::Spare;
use crate::http1::{HeadLimits, detail, parse_status};
use crate::problem::Problem;

/// Pause after an `accept` that failed for lack of a resource, such as file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Bytes that hyper buffers in each direction.
const BUFFER: usize = 48 * 1024;
/// Bytes of a segment on the loopback interface, whose MTU is 64 KiB.
const LOOPBACK_SEGMENT: usize = 64 * 1024;
/// Bytes that the kernel buffers for a client. By default it buffers megabytes: clients that pipeline requests and read no
/// response would keep the thread busy until then. With less than two segments, a response that is larger stalls: the
/// client acknowledges each second segment at once, and a single one after up to 40 ms (RFC 9293, section 3.8.6.3).
const SEND_BUFFER: usize = 2 * LOOPBACK_SEGMENT;

/// A service whose pages the exporter serves: those of `pages`, or an axum router.
pub(super) trait Serves<B>:
    Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S, B> Serves<B> for S where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// A body of a response.
pub(super) trait Sendable:
    http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static
{
}

impl<B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static> Sendable for B {}

/// Serves `pages` on an OS thread named `exporter`, until [`Exporter::stop`] or the end of the process.
///
/// # Errors
///
/// Returns an error if the listener cannot be made non-blocking, or the runtime or its thread cannot
/// be started.
pub(super) fn start<B: Sendable>(
    listener: TcpListener,
    pages: impl Serves<B>,
    rules: RequestRules,
    limits: ConnectionLimits,
) -> io::Result<Exporter> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    set_options(&listener)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let run = move || {
        runtime.block_on(async {
            tokio::spawn(serve(listener, pages, rules, limits));
            // Without its handle, it goes on.
            if stopped.await.is_err() {
                pending::<()>().await;
            }
        });
        // Dropping the runtime closes the listener and every connection.
    };
    let thread = thread::Builder::new().name("exporter".into());
    Ok(Exporter::new(address, stop, thread.spawn(run)?))
}

async fn serve<B: Sendable>(
    listener: tokio::net::TcpListener,
    pages: impl Serves<B>,
    rules: RequestRules,
    limits: ConnectionLimits,
) {
    let connections = Arc::new(Connections::new(limits));
    let mut spare = Spare::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (pages, rules) = (pages.clone(), rules.clone());
                let serve = move |waits_since| {
                    let stream = ClientStream::new(stream, limits.write, waits_since);
                    serve_connection(stream, pages, rules, limits.idle)
                };
                let connection = start_connection(&connections, serve).await;
                if spare.is_released() {
                    finish_within(limits.idle_under_pressure, connection).await;
                    spare.refill();
                }
            }
            // The client went away between its SYN and `accept`: the listener is fine.
            Err(error) if is_connection_error(&error) => {}
            Err(error) if is_used_up(&error) && connections.close_longest_waiting() => {
                tokio::task::yield_now().await;
            }
            Err(error) if is_used_up(&error) && spare.release() => {
                tracing::warn!(%error, "the metrics port uses its spare file descriptors");
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection to the metrics port failed");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                spare.refill();
            }
        }
    }
}

/// Starts a connection once there is a place for it.
async fn start_connection<C: Future<Output = ()> + Send + 'static>(
    connections: &Arc<Connections>,
    serve: impl FnOnce(WaitsSince) -> C,
) -> JoinHandle<()> {
    let place = connections.place().await;
    let waits_since = WaitsSince::now();
    let connection = serve(waits_since.clone());
    let task = tokio::spawn(async move {
        let _place = place;
        connection.await;
    });
    connections.add(task.abort_handle(), waits_since);
    task
}

/// Waits for the end of a connection on a spare file descriptor, but not for long.
async fn finish_within(time: Duration, mut connection: JoinHandle<()>) {
    if timeout(time, &mut connection).await.is_err() {
        connection.abort();
        let _ = connection.await;
    }
}

/// Sets what the connections inherit on Linux.
fn set_options(listener: &TcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    // The end of a response does not wait until the client acknowledges what came before.
    socket.set_tcp_nodelay(true)
}

/// Returns whether an `accept` failed because the process or the system has no file descriptor left.
fn is_used_up(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
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

async fn serve_connection<B: Sendable>(
    stream: ClientStream,
    pages: impl Serves<B>,
    rules: RequestRules,
    idle: Duration,
) {
    let waits_since = stream.waits_since();
    let has_body = AtomicBool::new(false);
    let sees_body = &has_body;
    let respond = move |request: Request<Incoming>| {
        waits_since.set(None);
        let checked = rules.check(&request);
        let mut pages = pages.clone();
        let is_unread = !request.body().is_end_stream();
        sees_body.store(is_unread, Relaxed);
        async move {
            // Other connections go first, so that a client that pipelines requests does not delay them.
            tokio::task::yield_now().await;
            let mut response = match checked {
                Ok(()) => pages.call(request).await?.map(Body::new),
                Err(problem) => problem.into_response(),
            };
            // No page reads a body, so hyper closes the connection. A client that does not know would lose its next
            // request (RFC 9112, section 9.6).
            if is_unread {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service_fn(respond));
    let result = (&mut connection).await;
    if let Err(error) = &result {
        tracing::debug!(%error, "connection to the metrics port failed");
    }
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    let unread = has_body.load(Relaxed) || !parts.read_buf.is_empty();
    let reply = error_reply(stream.error_status(), &result, &parts.read_buf);
    stream.close(reply, unread).await;
}

/// Returns the response to a head that hyper could not parse.
fn error_reply(
    status: Option<StatusCode>,
    result: &hyper::Result<()>,
    unparsed: &[u8],
) -> Option<Bytes> {
    let status = parse_status(status, result, unparsed)?;
    let problem = Problem::new(status, detail(status, HeadLimits::of_hyper(BUFFER)));
    Some(crate::http1::error_reply(&problem, &[]))
}

#[cfg(test)]
#[cfg(feature = "axum")]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Instant;

    use axum::Router;
    use axum::routing::get;

    use super::*;

    /// Longer than any response here takes.
    const PLENTY: Duration = Duration::from_secs(10);

    #[test]
    fn connections_hold_two_segments_of_loopback_and_send_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_options(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        // The kernel doubles what is set, to have room for its own structures (socket(7)).
        let size = socket.send_buffer_size().unwrap();
        assert!(size >= 2 * 2 * LOOPBACK_SEGMENT, "{size}");
    }

    #[test]
    fn a_silent_client_is_disconnected_after_the_idle_limit() {
        let limits = ConnectionLimits {
            idle: Duration::from_millis(200),
            ..ConnectionLimits::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rules = RequestRules::default();
        let exporter = super::start(listener, Router::new(), rules, limits).unwrap();
        let address = exporter.address();
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
        tokio::spawn(serve(listener, routes, RequestRules::default(), limits));
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

    fn start(limits: ConnectionLimits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let large = "x".repeat(20_000_000);
        let routes = Router::new()
            .route("/", get(async || "here"))
            .route("/large", get(async move || large.clone()));
        let exporter = super::start(listener, routes, RequestRules::default(), limits);
        exporter.unwrap().address()
    }

    fn send(address: SocketAddr, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PLENTY)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn response(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn malformed_heads_get_problems() {
        let address = start(ConnectionLimits::default());
        for (request, status) in [
            ("GET /\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ] {
            let response = response(send(address, request));
            assert_eq!(&response[9..12], status, "{response}");
            assert!(
                response.contains("content-type: application/problem+json\r\n"),
                "{response}"
            );
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_disconnected() {
        let limits = ConnectionLimits {
            write: Duration::from_millis(300),
            ..ConnectionLimits::default()
        };
        let address = start(limits);
        // On a busy machine, it may take the server a while to fill the kernel's buffers, which hold a part of the
        // response.
        let lengths = [1, 4, 16]
            .map(Duration::from_secs)
            .into_iter()
            .map(|pause| {
                let mut client = send(address, "GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
                thread::sleep(pause);
                let mut bytes = Vec::new();
                let _ = client.read_to_end(&mut bytes);
                bytes.len()
            });
        let mut lengths = lengths.inspect(|length| assert!(*length > 0));
        assert!(lengths.any(|length| length < 20_000_000));
    }

    #[test]
    fn clients_that_wait_give_way_to_others() {
        let limits = ConnectionLimits {
            idle_under_pressure: Duration::from_millis(200),
            connections: 4,
            ..ConnectionLimits::default()
        };
        let address = start(limits);
        let silent: Vec<_> = (0..2).map(|_| send(address, "GET / HT")).collect();
        let large = "GET /large HTTP/1.1\r\nhost: a\r\n\r\n";
        let unread: Vec<_> = (0..6).map(|_| send(address, large)).collect();
        let started = Instant::now();
        let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert!(response(send(address, request)).ends_with("here"));
        assert!(started.elapsed() < PLENTY / 2, "{:?}", started.elapsed());
        drop((silent, unread));
    }
}
