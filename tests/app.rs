//! The app without a gateway: every endpoint and every error response.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use axum::Router;
use axum::ServiceExt as _;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::MatchedPath;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use futures_util::{FutureExt, future, stream};
use serde_json::{Value, json};
use threadlab::app::{self, BodyLimit, Guard, ROUTES};
use threadlab::database::{Database, DatabaseConfig, DatabasePools};
use tokio::net::TcpListener;
use tower::ServiceExt;

/// Small limit, so that no test has to send a megabyte.
const LIMIT: BodyLimit = BodyLimit(1000);

/// A response with its whole body.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts that this is a problem with this status, and returns it.
    #[track_caller]
    fn problem(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status);
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status.as_u16());
        assert_eq!(problem["title"], status.canonical_reason().unwrap());
        assert_ne!(problem["detail"], "");
        problem
    }
}

async fn send(app: Guard<Router>, request: Request<Body>) -> Received {
    let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
    Received {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap(),
    }
}

async fn request(method: Method, uri: &str, body: Body) -> Received {
    let request = Request::builder().method(method).uri(uri).body(body);
    send(app(), request.unwrap()).await
}

/// The app with SQLite as its database.
fn app() -> Guard<Router> {
    app_with(&DatabaseConfig::default())
}

fn app_with(config: &DatabaseConfig) -> Guard<Router> {
    let mut pools = DatabasePools::new().unwrap();
    let database = Database::open(config, "test", &mut pools).unwrap();
    app::service(LIMIT, Some(database))
}

async fn fetch(uri: &str) -> Received {
    request(Method::GET, uri, Body::empty()).await
}

async fn post(body: Body) -> Received {
    request(Method::POST, "/dummy", body).await
}

fn body_with_error(error: io::Error) -> Body {
    Body::from_stream(stream::iter([Ok(Bytes::from_static(b"begun")), Err(error)]))
}

#[tokio::test]
async fn each_endpoint_returns_its_action_and_duration() {
    let endpoints = [
        ("/", "awaited a timer"),
        ("/blocking", "blocked the thread"),
        ("/offloaded", "blocked another thread"),
        ("/cpu", "computed"),
        ("/database/synchronous", "queried with a synchronous driver"),
        ("/database/offloaded", "queried on another thread"),
    ];
    for (path, message) in endpoints {
        let start = Instant::now();
        let response = fetch(&format!("{path}?seconds=0.2")).await;
        assert!(start.elapsed() >= Duration::from_millis(200), "{path}");
        assert_eq!(response.status, StatusCode::OK, "{path}");
        assert_eq!(response.headers[CONTENT_TYPE], "application/json");
        assert_eq!(response.json(), json!({"message": message, "seconds": 0.2}));
    }
}

#[tokio::test]
async fn an_asynchronous_query_without_postgresql_says_how_to_get_it() {
    let response = fetch("/database/asynchronous?seconds=0").await;
    let problem = response.problem(StatusCode::NOT_IMPLEMENTED);
    let detail = problem["detail"].as_str().unwrap();
    for words in ["SQLite", "--database postgresql://"] {
        assert!(detail.contains(words), "{detail}");
    }
}

#[tokio::test]
async fn queries_of_an_app_without_a_database_get_501() {
    for driver in ["synchronous", "offloaded", "asynchronous"] {
        let path = format!("/database/{driver}?seconds=0");
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = send(app::service(LIMIT, None), request).await;
        response.problem(StatusCode::NOT_IMPLEMENTED);
    }
}

#[tokio::test]
async fn queries_state_their_wait_in_pools() {
    for driver in ["synchronous", "offloaded"] {
        let response = fetch(&format!("/database/{driver}?seconds=0")).await;
        let timing = response.headers["server-timing"].to_str().unwrap();
        let pool = timing.strip_prefix("pool;dur=").unwrap();
        assert!(pool.parse::<f64>().unwrap() > 0.0, "{timing}");
    }
}

#[tokio::test]
async fn dummy_responds_at_once() {
    let response = fetch("/dummy").now_or_never().unwrap();
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.json(), json!({"message": "nothing to wait for"}));
}

/// Returns whether a request for `/dummy` gets its response before an earlier one for `path`, on one
/// thread.
async fn overtakes(path: &str) -> bool {
    let slow = Box::pin(fetch(path));
    let dummy = Box::pin(fetch("/dummy"));
    match future::select(slow, dummy).await {
        future::Either::Left(_) => false,
        future::Either::Right((_, slow)) => slow.await.status == StatusCode::OK,
    }
}

#[tokio::test]
async fn only_endpoints_that_occupy_the_thread_delay_dummy() {
    assert!(overtakes("/?seconds=0.1").await);
    assert!(overtakes("/offloaded?seconds=0.1").await);
    assert!(overtakes("/database/offloaded?seconds=0.1").await);
    assert!(!overtakes("/blocking?seconds=0.1").await);
    assert!(!overtakes("/database/synchronous?seconds=0.1").await);
    assert!(!overtakes("/cpu?seconds=0.1").await);
}

#[tokio::test]
async fn seconds_is_20_by_default() {
    let wait = fetch("/").boxed();
    let earlier = tokio::time::sleep(Duration::from_millis(500)).boxed();
    assert!(matches!(
        future::select(wait, earlier).await,
        future::Either::Right(_)
    ));
    let document = fetch("/openapi.json").await.json();
    let schema = &document["paths"]["/"]["get"]["parameters"][0]["schema"];
    assert_eq!(schema["default"], 20.0);
}

#[tokio::test]
async fn the_error_for_an_invalid_seconds_has_its_value_and_the_rule() {
    for path in [
        "/",
        "/blocking",
        "/offloaded",
        "/cpu",
        "/database/synchronous",
        "/database/offloaded",
        "/database/asynchronous",
    ] {
        for (sent, value) in [
            ("301", "301"),
            ("1e400", "1e400"),
            ("", ""),
            ("%C3%A4+b", "ä b"),
        ] {
            let response = fetch(&format!("{path}?seconds={sent}")).await;
            let problem = response.problem(StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(
                problem["parameter"],
                json!({"name": "seconds", "value": value, "rule": "a number from 0 to 300"})
            );
        }
    }
}

#[tokio::test]
async fn seconds_may_be_given_only_once() {
    let response = fetch("/?seconds=0&x=1&seconds=1").await;
    let problem = response.problem(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        problem["parameter"],
        json!({"name": "seconds", "value": "0,1", "rule": "at most one value"})
    );
}

#[tokio::test]
async fn the_error_for_invalid_slots_has_their_value_and_the_rule() {
    for path in [
        "/database/synchronous",
        "/database/offloaded",
        "/database/asynchronous",
    ] {
        for (query, value, rule) in [
            ("slots=0", "0", "an integer from 1 to 1000"),
            ("slots=1001", "1001", "an integer from 1 to 1000"),
            ("slots=", "", "an integer from 1 to 1000"),
            ("slots=1&slots=2", "1,2", "at most one value"),
        ] {
            let response = fetch(&format!("{path}?seconds=0&{query}")).await;
            let problem = response.problem(StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(
                problem["parameter"],
                json!({"name": "slots", "value": value, "rule": rule})
            );
        }
    }
}

#[tokio::test]
async fn slots_limit_the_queries_that_run_at_the_same_time() {
    let app = app();
    let queries = |slots: &str| {
        let path = format!("/database/offloaded?seconds=0.2{slots}");
        let query = || Request::get(&path).body(Body::empty()).unwrap();
        future::join_all([(); 4].map(|()| send(app.clone(), query())))
    };
    for (slots, least, most) in [
        ("", 200, 700),
        ("&slots=4", 200, 700),
        ("&slots=1", 800, 5000),
    ] {
        let start = Instant::now();
        for response in queries(slots).await {
            assert_eq!(response.status, StatusCode::OK, "{slots}");
        }
        let took = start.elapsed().as_millis();
        assert!((least..most).contains(&took), "{slots}: {took} ms");
    }
}

#[tokio::test]
async fn the_wait_for_a_slot_has_a_limit() {
    let app = app_with(&DatabaseConfig {
        timeout: Duration::from_millis(500),
        ..DatabaseConfig::default()
    });
    // Each query waits for those before it, at most for its own 0.4 s and the timeout.
    let query = || Request::get("/database/offloaded?seconds=0.4&slots=1").body(Body::empty());
    let queries = [(); 4].map(|()| send(app.clone(), query().unwrap()));
    let responses = future::join_all(queries).await;
    let with = |status| {
        let found = responses
            .iter()
            .filter(|response| response.status == status);
        found.count()
    };
    let (done, late) = (with(StatusCode::OK), with(StatusCode::GATEWAY_TIMEOUT));
    assert!(done >= 1 && late >= 1 && done + late == 4, "{done}, {late}");
}

#[tokio::test]
async fn other_parameters_are_ignored() {
    let response = fetch("/?x=1&seconds=0&Seconds=900&%ff=%").await;
    assert_eq!(response.status, StatusCode::OK);
}

#[tokio::test]
async fn head_works_like_get_without_the_body() {
    for path in ["/?seconds=0", "/dummy", "/docs/", "/openapi.json"] {
        let whole = fetch(path).await;
        let head = request(Method::HEAD, path, Body::empty()).await;
        assert_eq!(head.status, whole.status);
        assert_eq!(head.headers, whole.headers);
        assert_eq!(head.headers[CONTENT_LENGTH], whole.body.len().to_string());
        assert!(head.body.is_empty());
    }
}

#[tokio::test]
async fn unknown_paths_and_files_are_not_found() {
    for path in [
        "/nope",
        "/dummy/",
        "/docs/nope.js",
        "/docs/../Cargo.toml",
        "//",
    ] {
        let problem = fetch(path).await.problem(StatusCode::NOT_FOUND);
        assert_eq!(problem["detail"], format!("no resource at {path}"));
    }
}

#[tokio::test]
async fn a_path_that_is_not_utf_8_is_a_bad_request() {
    let problem = fetch("/docs/%ff").await.problem(StatusCode::BAD_REQUEST);
    assert!(problem["detail"].as_str().unwrap().contains("UTF-8"));
}

#[tokio::test]
async fn wrong_methods_get_405_with_the_allowed_ones() {
    for path in ["/", "/dummy", "/docs", "/openapi.json"] {
        for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
            let response = request(method, path, Body::empty()).await;
            response.problem(StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers[ALLOW], "GET,HEAD");
        }
    }
}

#[tokio::test]
async fn a_body_within_the_limit_is_read_and_ignored() {
    let request = Request::get("/dummy").body(Body::from(vec![0; 1000]));
    let response = send(app::service(LIMIT, None), request.unwrap()).await;
    assert_eq!(response.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_of_known_length_over_the_limit_is_rejected_unread() {
    struct Unread;
    impl http_body::Body for Unread {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
            panic!("the body was read")
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(1001)
        }
    }
    let problem = post(Body::new(Unread)).await;
    let problem = problem.problem(StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        problem["detail"],
        "the request body is larger than 1000 bytes"
    );
}

#[tokio::test]
async fn a_body_of_unknown_length_is_rejected_when_it_exceeds_the_limit() {
    let chunks = [0; 3].map(|_| Ok::<_, io::Error>(Bytes::from_static(&[0; 400])));
    let response = post(Body::from_stream(stream::iter(chunks))).await;
    response.problem(StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_is_sent_too_slowly_gets_408() {
    let response = post(body_with_error(io::ErrorKind::TimedOut.into())).await;
    response.problem(StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn a_malformed_body_gets_400_and_one_whose_client_left_499() {
    for (kind, status) in [
        (io::ErrorKind::InvalidData, 400),
        (io::ErrorKind::InvalidInput, 400),
        (io::ErrorKind::UnexpectedEof, 499),
        (io::ErrorKind::ConnectionReset, 499),
    ] {
        let response = post(body_with_error(kind.into())).await;
        assert_eq!(response.json()["status"], status, "{kind}");
    }
}

#[tokio::test]
async fn the_route_of_a_path_is_the_one_that_the_router_matches() {
    let report_route = |request: Request<Body>, next: Next| async move {
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let route = matched.map_or_else(String::new, |route| route.as_str().to_owned());
        ([("x-route", route)], next.run(request).await).into_response()
    };
    let app = app::router(None).layer(middleware::from_fn(report_route));
    // With a value in place of each parameter.
    let path = |route: &str| {
        let parts = route.split('/');
        let filled = parts.map(|part| if part.starts_with('{') { "5" } else { part });
        filled.collect::<Vec<_>>().join("/")
    };
    let routes = ROUTES.iter().map(|route| (path(route), Some(*route)));
    let file = Some("/docs/{*file}");
    let others = [
        ("/docs/swagger-ui.css", file),
        ("/docs/a/b", file),
        ("/docs//", file),
        ("/dummy/", None),
        ("/dumm", None),
        ("//", None),
        ("/docs%2Fx", None),
        ("/%64ummy", None),
        ("/database", None),
    ];
    let others = others.map(|(path, route)| (path.to_owned(), route));
    for (path, route) in routes.chain(others) {
        assert_eq!(app::route(&path), route, "{path}");
        let request = Request::get(format!("{path}?seconds=0")).body(Body::empty());
        let response = app.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(
            response.headers()["x-route"],
            route.unwrap_or_default(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn docs_redirects_to_its_page_under_any_prefix() {
    let response = fetch("/docs").await;
    assert_eq!(response.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers[LOCATION], "docs/");
    let page = fetch("/docs/").await;
    assert_eq!(page.headers[CONTENT_TYPE], "text/html");
    let settings = fetch("/docs/swagger-initializer.js").await;
    let settings = String::from_utf8(settings.body.to_vec()).unwrap();
    assert!(settings.contains(r#""url": "../openapi.json""#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_gets_100_continue_only_if_its_body_is_small_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app::service(LIMIT, None);
    let server = tokio::spawn(axum::serve(listener, app.into_make_service()).into_future());
    for (length, expected) in [(1000, "HTTP/1.1 100 "), (1001, "HTTP/1.1 413 ")] {
        let mut client = TcpStream::connect(address).unwrap();
        write!(
            client,
            "POST /dummy HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
        )
        .unwrap();
        write!(client, "content-length: {length}\r\n\r\n").unwrap();
        let mut begin = [0; 13];
        client.read_exact(&mut begin).unwrap();
        assert_eq!(str::from_utf8(&begin).unwrap(), expected);
    }
    server.abort();
}
