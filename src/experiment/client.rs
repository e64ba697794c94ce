//! Minimal HTTP client: each request has its own connection, so that connection reuse never affects a
//! measurement.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future;
use http::header::HOST;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::task::JoinHandle;

/// Reason why a request got no response.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection could not be opened.
    #[error("cannot connect")]
    Connect(#[from] io::Error),
    /// The connection was closed early, or the peer does not speak HTTP/1.
    #[error("no valid HTTP response")]
    Http(#[from] hyper::Error),
    /// The host or path contains characters that HTTP does not allow.
    #[error("invalid host or path in request")]
    Invalid(#[from] http::Error),
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct FullResponse {
    /// Status code.
    pub(crate) status: StatusCode,
    /// Values of the `Server-Timing` header.
    pub(super) timing: ServerTiming,
    /// Body.
    pub(super) body: Bytes,
    /// Time at which the last byte arrived.
    pub(super) ended: Instant,
}

/// Sends `GET path` to `address`. Dropping the future closes the connection, as a client does that
/// gives up.
///
/// # Errors
///
/// If there is no complete response. Any status, such as 503, is a response.
pub(crate) async fn get(
    address: impl ToSocketAddrs,
    host: &str,
    path: &str,
) -> Result<FullResponse, RequestError> {
    send(address, request(Method::GET, host, path)?).await
}

/// Sends `POST path` with an empty body to `address`.
///
/// # Errors
///
/// As [`get`].
pub(super) async fn post(
    address: SocketAddr,
    host: &str,
    path: &str,
) -> Result<FullResponse, RequestError> {
    send(address, request(Method::POST, host, path)?).await
}

async fn send(
    address: impl ToSocketAddrs,
    request: Request<Empty<Bytes>>,
) -> Result<FullResponse, RequestError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let response = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(FullResponse {
            status: head.status,
            timing: ServerTiming::from_headers(&head.headers),
            body,
            ended: Instant::now(),
        })
    };
    // The connection's error is ignored because hyper reports it to the request as well.
    let (response, _) = future::join(response, connection).await;
    response
}

/// A connection that the client keeps open after a response.
#[derive(Debug)]
pub(super) struct KeptConnection {
    sender: http1::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl KeptConnection {
    /// Returns true as long as the server has not closed the connection.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl Drop for KeptConnection {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Sends `GET path` to `address`, reads the response and keeps the connection.
///
/// # Errors
///
/// As [`get`].
pub(super) async fn get_and_keep(
    address: SocketAddr,
    host: &str,
    path: &str,
) -> Result<KeptConnection, RequestError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender
        .send_request(request(Method::GET, host, path)?)
        .await?;
    response.into_body().collect().await?;
    Ok(KeptConnection { sender, connection })
}

/// A response of server-sent events, read as they arrive.
#[derive(Debug)]
pub(super) struct EventStream {
    status: StatusCode,
    body: Incoming,
    /// Received bytes whose event is not complete.
    buffer: Vec<u8>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl EventStream {
    /// Maximum size of an event.
    const MAX_EVENT: usize = 4 << 20;

    /// Sends `GET path` to `address` and reads the head of the response.
    ///
    /// # Errors
    ///
    /// As [`get`].
    pub(super) async fn open(
        address: SocketAddr,
        host: &str,
        path: &str,
    ) -> Result<Self, RequestError> {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = request(Method::GET, host, path)?;
        let response = sender.send_request(request).await;
        let response = response.inspect_err(|_| connection.abort())?;
        Ok(Self {
            status: response.status(),
            body: response.into_body(),
            buffer: Vec::new(),
            connection,
        })
    }

    /// Returns the status of the response.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the data of the next event; `None` at the end of the response. Lines other than `data: …` are ignored.
    ///
    /// # Errors
    ///
    /// If the connection fails, or an event is larger than 4 MiB.
    pub(super) async fn next(&mut self) -> Result<Option<String>, RequestError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(data) = line.trim_end().strip_prefix("data: ") {
                    return Ok(Some(data.to_owned()));
                }
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Some(bytes) = frame?.data_ref() {
                self.buffer.extend_from_slice(bytes);
            }
            if self.buffer.len() > Self::MAX_EVENT {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn request(method: Method, host: &str, path: &str) -> http::Result<Request<Empty<Bytes>>> {
    let request = Request::builder().method(method).uri(path);
    request.header(HOST, host).body(Empty::new())
}

/// Durations of a `Server-Timing` header (W3C Server Timing). An entry that is missing or malformed
/// is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ServerTiming {
    /// Time spent waiting for a thread.
    pub(super) queue: Duration,
    /// Time holding the thread, on CPU or off.
    pub(super) held: Duration,
    /// Time waiting without holding a thread.
    pub(super) awaited: Duration,
}

impl ServerTiming {
    fn from_headers(headers: &HeaderMap) -> Self {
        let values = headers.get_all("server-timing");
        let values: Vec<&str> = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let entry = |name: &str| {
            let mut entries = values.iter().flat_map(|value| value.split(", "));
            let found = entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix(";dur="));
            let milliseconds: f64 = found.and_then(|value| value.parse().ok()).unwrap_or(0.0);
            Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
        };
        Self {
            queue: entry("queue"),
            held: entry("run") + entry("runnable") + entry("block"),
            awaited: entry("await"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_server_timing() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            ServerTiming::from_headers(&headers),
            ServerTiming::default()
        );
        let value =
            "queue;dur=1.5, run;dur=0.25, runnable;dur=0.5, block;dur=20000.000, await;dur=3";
        headers.insert("server-timing", value.parse().unwrap());
        let timing = ServerTiming::from_headers(&headers);
        assert_eq!(timing.queue, Duration::from_micros(1500));
        assert_eq!(timing.held, Duration::from_micros(20_000_750));
        assert_eq!(timing.awaited, Duration::from_millis(3));
    }
}
