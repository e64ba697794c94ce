//! Input from clients: bytes on connections to servers of this process, header values, paths and queries.
//!
//! The fuzzer's programs include this file, and so does `tests/fuzz.rs`. Each function asserts what must hold whatever the
//! bytes are. A client closes its sending side after them, so that no server waits for more.

// Each program uses a part of this, and fails by panicking.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use thread_states::Metrics;
use thread_states::problem::Problem;
use threadlab::app::{self, BodyLimit, Guard};
use threadlab::gateway::{GatewayConfig, RunningGateway, asynchronous, synchronous};
use threadlab::proxy::{self, ProxyConfig, RunningProxy, ServerPath, Upstream};
use tokio::runtime::Runtime;
use tower::{Layer, Service as _, ServiceExt};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Limit for what a server should do at once.
const SOON: Duration = Duration::from_secs(20);

/// Field of the app's responses: the method of the request.
const SERVED: &str = "x-served";

/// Panics of all threads. A server survives one, so it would not be seen otherwise.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, SeqCst);
        report(panic);
    }));
}

/// Bytes for both gateways, the synchronous one also with kept connections, and the metrics port, which must agree on the
/// first response.
pub(crate) fn heads(bytes: &[u8]) {
    struct Servers {
        synchronous: RunningGateway,
        keep_alive: RunningGateway,
        asynchronous: RunningGateway,
        metrics: SocketAddr,
    }
    static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
        count_panics();
        let metrics = Metrics::new("fuzz");
        Servers {
            synchronous: synchronous_gateway(echo(), false),
            keep_alive: synchronous_gateway(echo(), true),
            asynchronous: asynchronous_gateway(echo()),
            metrics: metrics.export("127.0.0.1:0").unwrap().address(),
        }
    });
    let synchronous = exchange(SERVERS.synchronous.local_addr(), bytes);
    let asynchronous = exchange(SERVERS.asynchronous.local_addr(), bytes);
    assert!(synchronous.len() <= 1, "{synchronous:?}");
    // The others may notice first that the client has closed its side.
    let one = synchronous.first();
    for other in [
        &asynchronous,
        &exchange(SERVERS.keep_alive.local_addr(), bytes),
    ] {
        if let (Some(one), Some(other)) = (one, other.first()) {
            assert_eq!((one.status, &one.body), (other.status, &other.body));
        }
    }
    // The metrics port has other paths, and reads no bodies.
    let metrics = exchange(SERVERS.metrics, bytes);
    if let (Some(one), Some(other)) = (one, metrics.first())
        && [501, 505].contains(&one.status)
    {
        assert_eq!(one.status, other.status);
    }
    assert_eq!(PANICS.load(SeqCst), 0);
}

/// Bytes for the front. Whatever a server gets has the front's own fields.
pub(crate) fn front(bytes: &[u8]) {
    static SEEN: Mutex<Vec<HeaderMap>> = Mutex::new(Vec::new());
    struct Servers {
        front: SocketAddr,
        /// All of them run until the process ends.
        _running: Mutex<(RunningProxy, [RunningGateway; 2])>,
    }
    static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
        count_panics();
        let app = Router::new().fallback(record);
        let servers = [
            synchronous_gateway(app.clone(), false),
            asynchronous_gateway(app),
        ];
        let [sync, asynchronous] = servers.each_ref().map(RunningGateway::local_addr);
        let upstream = |name, server, keep_alive| Upstream {
            name,
            server,
            keep_alive,
            threads: ServerPath::new(server, "/threads"),
        };
        let config = ProxyConfig::new(vec![
            upstream("sync", sync, false),
            upstream("async", asynchronous, true),
        ]);
        let front = proxy::spawn(proxy::bind(ANY_PORT).unwrap(), config).unwrap();
        Servers {
            front: front.local_addr(),
            _running: Mutex::new((front, servers)),
        }
    });

    fn seen() -> MutexGuard<'static, Vec<HeaderMap>> {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn record(request: Request) -> Response<Body> {
        seen().push(request.headers().clone());
        respond(request).await
    }

    let replies = exchange(SERVERS.front, bytes);
    for fields in std::mem::take(&mut *seen()) {
        assert_own(&fields);
    }
    for reply in replies {
        let ids = reply.head.matches("x-request-id: ").count();
        assert_eq!(ids, 1, "{}", reply.head);
    }
    assert_eq!(PANICS.load(SeqCst), 0);
}

/// Asserts that the fields about the origin of a request are the front's, and that those of the connection are gone.
fn assert_own(fields: &HeaderMap) {
    let one = |name: &str| {
        let mut values = fields.get_all(name).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        assert!(
            value.is_some() && values.next().is_none(),
            "{name}: {fields:?}"
        );
        value.unwrap_or_default().to_owned()
    };
    if fields.contains_key("x-forwarded-prefix") {
        assert!(["/sync", "/async"].contains(&&*one("x-forwarded-prefix")));
    }
    assert_eq!(one("x-forwarded-for"), "127.0.0.1");
    assert_eq!(one("x-forwarded-proto"), "http");
    assert!(one("x-request-start").starts_with("t="));
    assert!((1..=128).contains(&one("x-request-id").len()));
    assert!(one("host").starts_with("127.0.0.1:"));
    for name in [
        "forwarded",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "expect",
        "proxy-connection",
    ] {
        assert!(!fields.contains_key(name), "{name}: {fields:?}");
    }
}

fn synchronous_gateway(app: Router, keep_alive: bool) -> RunningGateway {
    let mut config = GatewayConfig::new(ANY_PORT);
    config.keep_alive = keep_alive;
    let bound = synchronous::bind(&config).unwrap();
    synchronous::spawn(bound, app, None, "sync").unwrap()
}

fn asynchronous_gateway(app: Router) -> RunningGateway {
    let bound = asynchronous::bind(&GatewayConfig::new(ANY_PORT)).unwrap();
    asynchronous::spawn(bound, app, None, "async").unwrap()
}

fn echo() -> Router {
    Router::new().fallback(respond)
}

/// Responds with the method, the target and the body.
async fn respond(request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Problem::new(StatusCode::BAD_REQUEST, "the body is malformed").into_response();
    };
    let text = format!("{} {} {body:?}", head.method, head.uri);
    ([(SERVED, head.method.as_str())], text).into_response()
}

/// Response of a server.
#[derive(Debug)]
struct Reply {
    status: u16,
    /// The head, in lower case.
    head: String,
    body: Vec<u8>,
}

/// Sends the bytes on a connection of their own, and returns the responses without interim ones. The last one may be
/// incomplete if a server gave it up.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<Reply> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    // A server that has responded may have closed the connection already.
    let _ = stream
        .write_all(bytes)
        .and_then(|()| stream.shutdown(Shutdown::Write));
    let mut received = Vec::new();
    if let Err(error) = stream.read_to_end(&mut received) {
        assert_eq!(
            error.kind(),
            ErrorKind::ConnectionReset,
            "{address} does not end"
        );
    }
    replies(&received)
}

fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end])
            .expect("a head in ASCII")
            .to_lowercase();
        bytes = &bytes[end + 4..];
        let status = head.get(..12).and_then(|line| {
            let version = line.strip_prefix("http/1.")?;
            version.get(2..)?.parse().ok()
        });
        let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
        let field = |name: &str| {
            let mut lines = head.lines().skip(1);
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let length = match field("content-length") {
            _ if status == 100 || field(SERVED) == Some("head") => 0,
            Some(length) => length.parse().unwrap(),
            None => bytes.len(),
        };
        let body = bytes[..length.min(bytes.len())].to_vec();
        let is_problem = field("content-type") == Some("application/problem+json");
        // To HEAD, a server responds without the body whose length it states.
        if is_problem && body.len() == length && body.starts_with(b"{") {
            assert_problem(&body, status);
            bytes = &bytes[length..];
        } else if !is_problem {
            bytes = &bytes[body.len()..];
        }
        if status != 100 {
            replies.push(Reply { status, head, body });
        }
    }
    replies
}

/// A value of `X-Request-Start`: either it is a wait of at most an hour, or it is counted as rejected.
pub(crate) fn request_start(bytes: &[u8]) {
    struct Measured {
        metrics: Metrics,
        runtime: Runtime,
    }
    static MEASURED: LazyLock<Mutex<Measured>> = LazyLock::new(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        Mutex::new(Measured {
            metrics: Metrics::new("fuzz"),
            runtime: runtime.build().unwrap(),
        })
    });
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let Measured { metrics, runtime } = &*measured;
    let service = tower::service_fn(async |_: Request| {
        Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
    });
    let mut service = metrics.layer().layer(service);
    let counts = || {
        let text = metrics.encode();
        [
            "http_server_request_queue_seconds_count{",
            "http_server_request_start_rejected_total{",
            "http_server_request_queue_seconds_sum{",
        ]
        .map(|name| {
            let mut lines = text.lines().filter(|line| line.starts_with(name));
            let value = lines.next().and_then(|line| line.rsplit(' ').next());
            value.map_or(0.0, |value| value.parse::<f64>().unwrap())
        })
    };
    let before = counts();
    let request = Request::builder().header("x-request-start", &value);
    let _ = runtime.block_on(service.call(request.body(Body::empty()).unwrap()));
    let after = counts();
    let [taken, rejected, seconds] = [0, 1, 2].map(|index| after[index] - before[index]);
    assert_eq!(taken + rejected, 1.0, "{value:?}");
    assert!((0.0..=3_601.0).contains(&seconds), "{value:?}: {seconds} s");
    // Plain seconds, as nginx sends them.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let text = value.to_str().unwrap_or_default();
    let number = text.strip_prefix("t=").unwrap_or(text);
    let is_plain = number.split_once('.').is_some_and(|(whole, decimals)| {
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        whole.len() == 10 && !decimals.is_empty() && is_number(whole) && is_number(decimals)
    });
    let wait = now - number.parse().unwrap_or(f64::NAN);
    if is_plain && (1.0..3_599.0).contains(&wait) {
        assert!(
            taken == 1.0 && (seconds - wait).abs() < 1.0,
            "{value:?}: {seconds} s"
        );
    }
}

/// A path and a query: the app begins to wait, or responds, and an error is a problem that names no fault of its own.
pub(crate) fn parameters(bytes: &[u8]) {
    static APP: LazyLock<(Guard<Router>, Runtime)> = LazyLock::new(|| {
        count_panics();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        (app::service(BodyLimit::default(), None), runtime)
    });
    let Ok(mut uri) = Uri::try_from(bytes) else {
        return;
    };
    // These would hold the thread.
    if ["/blocking", "/cpu", "/offloaded"].contains(&uri.path()) {
        let query = uri.query().unwrap_or_default();
        uri = Uri::try_from(format!("/?{query}")).unwrap();
    }
    let (app, runtime) = &*APP;
    let _entered = runtime.enter();
    let request = Request::builder().uri(&uri).body(Body::empty()).unwrap();
    // `None` if the handler waits for as long as it should.
    if let Some(Ok(response)) = app.clone().oneshot(request).now_or_never()
        && response.status().as_u16() >= 400
    {
        let status = response.status();
        assert!(
            [400, 404, 405, 422, 501].contains(&status.as_u16()),
            "{uri}: {status}"
        );
        let body = to_bytes(response.into_body(), usize::MAX).now_or_never();
        let body = body.expect("a body in memory").expect("a whole body");
        assert_problem(&body, status.as_u16());
    }
    assert_eq!(PANICS.load(SeqCst), 0);
}

fn assert_problem(body: &[u8], status: u16) {
    let problem: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!(problem["status"], status, "{problem}");
    let detail = problem["detail"].as_str();
    assert!(detail.is_some_and(|detail| detail.len() > 3), "{problem}");
}
