//! The layer around services other than a plain axum router, and between other middleware.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use thread_states::Metrics;
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;

/// Number of requests to a route with status 200.
fn count(metrics: &Metrics, route: &str) -> u64 {
    let series = format!(
        "http_server_request_duration_seconds_count{{server=\"shop\",http_request_method=\"GET\",\
         http_route=\"{route}\",http_response_status_code=\"200\"}} "
    );
    let text = metrics.encode();
    let count = text.lines().find_map(|line| line.strip_prefix(&series));
    count.map_or(0, |count| count.parse().unwrap())
}

async fn send<S, B>(service: S, path: &str) -> (HeaderMap, Bytes)
where
    S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug>,
    B: HttpBody<Data = Bytes, Error: std::fmt::Debug>,
{
    let request = Request::get(path)
        .header("accept-encoding", "gzip")
        .body(Body::empty())
        .unwrap();
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    (head.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn other_middleware_may_be_inside_and_outside() {
    let metrics = Metrics::new("shop");
    let text = "hello ".repeat(100);
    let app = Router::new().route("/", get(async move || text));
    let layers = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new());
    let (headers, body) = send(app.clone().layer(layers), "/").await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert!(body.len() < 100);
    assert_eq!(count(&metrics, "/"), 1);
    let layers = ServiceBuilder::new()
        .layer(CompressionLayer::new())
        .layer(TraceLayer::new_for_http())
        .layer(metrics.layer());
    send(app.layer(layers), "/").await;
    assert_eq!(count(&metrics, "/"), 2);
}

#[tokio::test]
async fn an_error_of_the_service_counts_as_500() {
    let metrics = Metrics::new("shop");
    let fail =
        async |_: Request<Body>| Err::<Response<Body>, _>(std::io::Error::other("on purpose"));
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(service_fn(fail));
    let error = service.oneshot(Request::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "on purpose");
    let status = |status| format!("http_response_status_code=\"{status}\"}} 1\n");
    let text = metrics.encode();
    assert!(
        text.contains(&status(500)) && !text.contains(&status(499)),
        "{text}"
    );
    assert!(
        text.contains("http_server_active_requests{server=\"shop\"} 0\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_service_with_bodies_of_its_own_is_measured() {
    let metrics = Metrics::new("shop");
    let service = service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
    });
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(service);
    let (_, body) = send(service, "/").await;
    assert_eq!(body, "hello");
    assert_eq!(count(&metrics, "unmatched"), 1);
}

async fn get_from(address: SocketAddr, path: &str) -> u16 {
    let url = format!("http://{address}{path}");
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build();
    let get = move || ureq::Agent::from(agent).get(url).call().unwrap();
    let response = tokio::task::spawn_blocking(get).await.unwrap();
    response.status().as_u16()
}

#[tokio::test]
async fn a_hyper_server_without_axum_is_measured() {
    let metrics = Metrics::new("shop");
    let hello = service_fn(async |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(path))))
    });
    let service = ServiceBuilder::new().layer(metrics.layer()).service(hello);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .await
    });
    assert_eq!(get_from(address, "/").await, 200);
    assert_eq!(count(&metrics, "unmatched"), 1);
}

#[tokio::test]
async fn a_tonic_server_is_measured() {
    let metrics = Metrics::new("shop");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let routes = Router::new().route("/shop.Baskets/Get", get(async || ""));
    let server = tonic::transport::Server::builder()
        .accept_http1(true)
        .layer(
            metrics
                .layer()
                .name_unmatched(|path| path.starts_with("/shop.").then_some(path)),
        )
        .add_routes(routes.into());
    tokio::spawn(server.serve(address));
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(get_from(address, "/shop.Baskets/Get").await, 200);
    assert_eq!(count(&metrics, "/shop.Baskets/Get"), 1);
}

#[tokio::test]
async fn requests_that_match_no_route_can_have_names() {
    let metrics = Metrics::new("shop");
    let layer = metrics.layer().name_unmatched(|path| match path {
        path if path.starts_with("/assets/") => Some("/assets/{*file}"),
        "/favicon.ico" => None,
        _ => Some("fallback"),
    });
    let files =
        service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let app = Router::new()
        .route("/", get(async || ""))
        .nest_service("/assets", files)
        .fallback(async || "")
        .layer(layer);
    for path in ["/", "/assets/a", "/assets/b", "/favicon.ico", "/else"] {
        send(app.clone(), path).await;
    }
    let routes = ["/", "/assets/{*file}", "unmatched", "fallback"];
    assert_eq!(routes.map(|route| count(&metrics, route)), [1, 2, 1, 1]);
}
