//! A server for each test, a client that reads and writes the bytes of HTTP, and the app under test.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_util::{FutureExt, stream};
use http_body_util::BodyExt;
use thread_states::Registry;
use threadlab::gateway::{
    BindError, BoundGateway, GatewayConfig, RunningGateway, asynchronous, synchronous,
};

/// Limit for something that should happen at once. Generous, because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    Synchronous,
    /// The synchronous one with `keep_alive`.
    Keeping,
    Asynchronous,
}

impl Gateway {
    /// Those that keep connections between two requests.
    pub(crate) const THAT_KEEP: [Self; 2] = [Self::Keeping, Self::Asynchronous];

    /// Returns whether a connection carries more than one request.
    pub(crate) fn keeps_connections(self) -> bool {
        Self::THAT_KEEP.contains(&self)
    }

    pub(crate) fn bind(self, config: &GatewayConfig) -> Result<BoundGateway, BindError> {
        match self {
            Self::Synchronous | Self::Keeping => synchronous::bind(config),
            Self::Asynchronous => asynchronous::bind(config),
        }
    }

    fn spawn(
        self,
        bound: BoundGateway,
        app: Router,
        registry: Registry,
        name: &str,
    ) -> RunningGateway {
        let running = match self {
            Self::Synchronous | Self::Keeping => synchronous::spawn(bound, app, registry, name),
            Self::Asynchronous => asynchronous::spawn(bound, app, registry, name),
        };
        running.unwrap()
    }
}

/// Defines a test for each gateway from functions that take a [`Gateway`].
macro_rules! against_all {
    ($($behaviour:ident),+ $(,)?) => {
        mod synchronous {
            $(#[test] fn $behaviour() { super::$behaviour($crate::harness::Gateway::Synchronous) })+
        }
        mod keeping {
            $(#[test] fn $behaviour() { super::$behaviour($crate::harness::Gateway::Keeping) })+
        }
        mod asynchronous {
            $(#[test] fn $behaviour() { super::$behaviour($crate::harness::Gateway::Asynchronous) })+
        }
    };
}

/// Running gateway; ends when it is dropped.
pub(crate) struct Server {
    pub(crate) running: RunningGateway,
    pub(crate) registry: Registry,
    pub(crate) seen: Arc<Seen>,
    /// Prefix of its threads' names.
    pub(crate) name: String,
}

impl Server {
    pub(crate) fn start(gateway: Gateway) -> Self {
        Self::with(gateway, |_| {})
    }

    pub(crate) fn with(gateway: Gateway, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);

        let name = format!("gw{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let mut config = GatewayConfig::new(([127, 0, 0, 1], 0).into());
        config.keep_alive = gateway == Gateway::Keeping;
        change(&mut config);
        let registry = Registry::new(&*name, []);
        let seen = Arc::<Seen>::default();
        let bound = gateway.bind(&config).unwrap();
        let app = app(Arc::clone(&seen));
        Self {
            running: gateway.spawn(bound, app, registry.clone(), &name),
            registry,
            seen,
            name,
        }
    }

    pub(crate) fn wait_until_none_in_flight(&self) {
        eventually("none in flight", || self.registry.requests_in_flight() == 0);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address()).unwrap())
    }

    /// Returns the response to a GET on a new connection.
    pub(crate) fn get(&self, target: &str) -> Response {
        let mut client = self.connect();
        client.get(target);
        client.receive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.shutdown();
        let ended = self.running.join(SOON);
        assert!(ended || std::thread::panicking(), "threads did not end");
    }
}

pub(crate) fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Client that sends any bytes and reads responses one by one. It waits [`SOON`] for each byte.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn new(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn get(&mut self, target: &str) {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n"));
    }

    /// Sends one byte after the other, until all are sent or the server has closed the connection.
    pub(crate) fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for byte in bytes.as_ref() {
            if self.socket.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(pause);
        }
    }

    /// Reads the next response with its body.
    pub(crate) fn receive(&mut self) -> Response {
        let head = self.head();
        let response = Response::new(head);
        let body = match (response.header("content-length"), response.status) {
            (_, 100) => Vec::new(),
            (Some(length), _) => self.take(length.parse().unwrap()),
            (None, _) if response.header("transfer-encoding") == Some("chunked") => self.chunks(),
            (None, _) => self.rest(),
        };
        Response { body, ..response }
    }

    /// Reads the head of the next response.
    pub(crate) fn receive_head(&mut self) -> Response {
        Response::new(self.head())
    }

    /// Reads everything until the server closes the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read() > 0 {}
        std::mem::take(&mut self.unread)
    }

    /// Asserts that the connection closes without further bytes and without a reset.
    pub(crate) fn assert_closed(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.rest()), "");
    }

    fn head(&mut self) -> String {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.read() > 0, "closed in a head: {:?}", self.unread);
        };
        String::from_utf8(self.take(end)).unwrap()
    }

    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.read() > 0, "closed {length} bytes too early");
        }
        let rest = self.unread.split_off(length);
        std::mem::replace(&mut self.unread, rest)
    }

    pub(crate) fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.take(1));
            }
            let size = std::str::from_utf8(&line).unwrap().trim();
            let size = usize::from_str_radix(size, 16).unwrap();
            body.extend(self.take(size));
            assert_eq!(self.take(2), b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    fn read(&mut self) -> usize {
        let mut chunk = [0; 64 * 1024];
        let length = self.socket.read(&mut chunk).unwrap();
        self.unread.extend(&chunk[..length]);
        length
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    fn new(head: String) -> Self {
        Self {
            status: head[9..12].parse().unwrap(),
            head,
            body: Vec::new(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(field, value)| (field == name).then_some(value))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Asserts that this is an error with a problem body, after which the connection closes.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("connection"), Some("close"));
        assert!(self.header("date").is_some(), "{self:?}");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].is_string(), "{problem}");
    }
}

/// Counters of the app's requests.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) begun: AtomicUsize,
    pub(crate) finished: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
}

impl Seen {
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn finished(&self) -> usize {
        self.finished.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// Counts as begun when it is created, and as dropped when it is dropped.
struct Witness(Arc<Seen>);

impl Witness {
    fn new(seen: Arc<Seen>) -> Self {
        seen.begun.fetch_add(1, Ordering::SeqCst);
        Self(seen)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn app(seen: Arc<Seen>) -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", post(echo))
        .route("/mirror", post(async |body: Body| body))
        .route("/ignore", post(async || StatusCode::PAYLOAD_TOO_LARGE))
        .route("/late", post(late))
        .route("/hesitate", post(hesitate))
        .route("/drip", post(drip))
        .route("/sleep", get(sleep))
        .route("/block", get(block))
        .route("/offload", get(offload))
        .route("/panic", get(panic))
        .route("/stream", get(many_bytes))
        .route("/broken", get(broken))
        .with_state(seen)
}

#[derive(serde::Deserialize)]
struct Amount {
    #[serde(default)]
    ms: u64,
    #[serde(default)]
    mib: usize,
}

async fn echo(body: Body) -> axum::response::Response {
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes.into_response(),
        Err(error) if is_timeout(&error) => StatusCode::REQUEST_TIMEOUT.into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn is_timeout(error: &axum::Error) -> bool {
    std::iter::successors(error.source(), |&cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == ErrorKind::TimedOut)
}

/// Reads the body after a delay.
async fn late(Query(Amount { ms, .. }): Query<Amount>, body: Body) -> axum::response::Response {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    echo(body).await
}

/// Reads a part of the body, and the rest after a delay. Responds with the rest.
async fn hesitate(
    Query(Amount { ms, .. }): Query<Amount>,
    mut body: Body,
) -> axum::response::Response {
    let _ = body.frame().await;
    late(Query(Amount { ms, mib: 0 }), body).await
}

/// Drops the body unread and responds slowly.
async fn drip(mut body: Body) -> Body {
    assert!(body.frame().now_or_never().is_none());
    drop(body);
    Body::from_stream(stream::unfold(0, async |drips| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        (drips < 3).then_some((Ok::<_, Infallible>("drip "), drips + 1))
    }))
}

async fn sleep(State(seen): State<Arc<Seen>>, Query(Amount { ms, .. }): Query<Amount>) -> String {
    let witness = Witness::new(seen);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    witness.0.finished.fetch_add(1, Ordering::SeqCst);
    format!("slept {ms} ms")
}

/// Blocks its thread: the mistake that the lab shows.
async fn block(State(seen): State<Arc<Seen>>, Query(Amount { ms, .. }): Query<Amount>) -> String {
    let _witness = Witness::new(seen);
    std::thread::sleep(Duration::from_millis(ms));
    format!("blocked {ms} ms")
}

/// Blocks a thread of the pool, and responds with its name.
async fn offload(Query(Amount { ms, .. }): Query<Amount>) -> String {
    let work = move || {
        std::thread::sleep(Duration::from_millis(ms));
        std::thread::current().name().unwrap_or_default().to_owned()
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn panic() -> String {
    panic!("intended by the test")
}

async fn many_bytes(
    State(seen): State<Arc<Seen>>,
    Query(Amount { mib, .. }): Query<Amount>,
) -> Body {
    let witness = Witness::new(seen);
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    Body::from_stream(stream::iter((0..mib * 16).map(move |_| {
        let _ = &witness;
        Ok::<_, Infallible>(chunk.clone())
    })))
}

/// Responds with a body that fails before its end.
async fn broken() -> Body {
    let chunks = [Ok("half"), Err(io::Error::other("intended by the test"))];
    Body::from_stream(stream::iter(chunks))
}
