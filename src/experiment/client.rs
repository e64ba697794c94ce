//! One request on a connection of its own.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future;
use http::header::HOST;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no connection.
    #[error("cannot connect")]
    Connect(#[from] io::Error),
    /// The connection ended or what came is no HTTP.
    #[error("no answer")]
    Http(#[from] hyper::Error),
    /// The address cannot be part of a request.
    #[error("no request can be made of it")]
    Request(#[from] http::Error),
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Where the server says that the time went.
    pub(super) timing: Timing,
    /// Its body.
    pub(super) body: Bytes,
    /// When its last byte came.
    pub(super) ended: Instant,
}

/// Asks `address` for `path`. Dropping the future closes the connection, as a client does that
/// gives up.
///
/// # Errors
///
/// If there is no whole answer. A status such as 503 is an answer.
pub(super) async fn get(address: SocketAddr, host: &str, path: &str) -> Result<Answer, Failure> {
    exchange(address, request(Method::GET, host, path)?).await
}

/// Posts nothing to `path` at `address`.
///
/// # Errors
///
/// As [`get`].
pub(super) async fn post(address: SocketAddr, host: &str, path: &str) -> Result<Answer, Failure> {
    exchange(address, request(Method::POST, host, path)?).await
}

async fn exchange(address: SocketAddr, request: Request<Empty<Bytes>>) -> Result<Answer, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            timing: Timing::of(&head.headers),
            body,
            ended: Instant::now(),
        })
    };
    // An error of the connection is also the exchange's.
    let (answer, _) = future::join(exchange, connection).await;
    answer
}

/// A connection that is kept open after an answer.
#[derive(Debug)]
pub(super) struct Kept {
    sender: http1::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Kept {
    /// Whether the server has left it open.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Asks `address` for `path`, reads the answer and keeps the connection.
///
/// # Errors
///
/// As [`get`].
pub(super) async fn get_and_keep(
    address: SocketAddr,
    host: &str,
    path: &str,
) -> Result<Kept, Failure> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender
        .send_request(request(Method::GET, host, path)?)
        .await?;
    response.into_body().collect().await?;
    Ok(Kept { sender, connection })
}

fn request(method: Method, host: &str, path: &str) -> http::Result<Request<Empty<Bytes>>> {
    let request = Request::builder().method(method).uri(path);
    request.header(HOST, host).body(Empty::new())
}

/// What an answer's `Server-Timing` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Timing {
    /// Waited for a thread.
    pub(super) queue: Duration,
    /// Held the thread, on CPU or not.
    pub(super) held: Duration,
    /// Waited without the thread.
    pub(super) awaited: Duration,
}

impl Timing {
    fn of(headers: &HeaderMap) -> Self {
        let text = headers
            .get("server-timing")
            .and_then(|value| value.to_str().ok());
        let entry = |name: &str| {
            let mut entries = text.unwrap_or_default().split(", ");
            let found = entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix(";dur="));
            let milliseconds: f64 = found.and_then(|value| value.parse().ok()).unwrap_or(0.0);
            Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
        };
        Self {
            queue: entry("queue"),
            held: entry("run") + entry("block"),
            awaited: entry("await"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_the_time_went() {
        let mut headers = HeaderMap::new();
        assert_eq!(Timing::of(&headers), Timing::default());
        let value = "queue;dur=1.5, run;dur=0.25, block;dur=20000.000, await;dur=3.000";
        headers.insert("server-timing", value.parse().unwrap());
        let timing = Timing::of(&headers);
        assert_eq!(timing.queue, Duration::from_micros(1500));
        assert_eq!(timing.held, Duration::from_micros(20_000_250));
        assert_eq!(timing.awaited, Duration::from_millis(3));
    }
}
