//! The request layer around somebody else's app.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use prometheus::TextEncoder;
use thread_states::Metrics;
use thread_states::metrics::Waits;
use thread_states::{MOST_NEW_ROUTES, OTHER};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use tower::Service;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn app() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/wait", get(wait))
        .route("/panic", get(panic))
        .nest("/basket", Router::new().route("/{id}", get(async || "")))
}

async fn wait() {
    sleep(Duration::from_millis(50)).await;
}

async fn panic() {
    panic!("on purpose");
}

async fn ask(app: &mut Router, path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    app.call(request).await.unwrap()
}

/// The value of the first series whose line begins with `name` and has all these parts.
fn value(metrics: &Metrics, name: &str, parts: &[&str]) -> Option<f64> {
    let registry = prometheus::Registry::new();
    registry.register(Box::new(metrics.clone())).unwrap();
    let text = TextEncoder::new().encode_to_string(&registry.gather());
    let text = text.unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(name));
    let line = lines.find(|line| parts.iter().all(|part| line.contains(part)))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

const COUNT: &str = "http_server_request_duration_seconds_count";

#[test]
fn requests_count_under_the_pattern_of_their_route() {
    let metrics = Metrics::new("shop").unwrap();
    let mut app = app().layer(metrics.layer());
    runtime().block_on(async {
        for path in ["/basket/1", "/basket/2", "/nowhere", "/else", "/"] {
            ask(&mut app, path).await;
        }
    });
    let count = |route: &str, status: &str| {
        let route = format!(r#"http_route="{route}""#);
        value(&metrics, COUNT, &[&route, status])
    };
    assert_eq!(count("/basket/{id}", "\"200\""), Some(2.0));
    assert_eq!(count("/", "\"200\""), Some(1.0));
    assert_eq!(count("unmatched", "\"404\""), Some(2.0));
    assert_eq!(count("unmatched", "\"200\""), None);
}

#[test]
fn more_routes_than_there_is_room_for_are_one() {
    let metrics = Metrics::new("shop").unwrap();
    let routes = 0..MOST_NEW_ROUTES + 10;
    let app = routes.clone().fold(Router::new(), |app, number| {
        app.route(&format!("/{number}"), get(async || ""))
    });
    let mut app = app.layer(metrics.layer());
    runtime().block_on(async {
        for number in routes {
            ask(&mut app, &format!("/{number}")).await;
        }
    });
    let other = format!(r#"http_route="{OTHER}""#);
    assert_eq!(value(&metrics, COUNT, &[&other]), Some(11.0));
    assert_eq!(metrics.threads().routes().iter().count(), MOST_NEW_ROUTES);
}

#[test]
fn requests_are_in_flight_while_they_wait() {
    for (elsewhere, expected) in [(false, 1), (true, 0)] {
        let metrics = Metrics::new("shop").unwrap();
        let layer = metrics.layer();
        let layer = if elsewhere {
            layer.in_flight_elsewhere()
        } else {
            layer
        };
        let mut app = app().layer(layer);
        runtime().block_on(async {
            let request = ask(&mut app, "/wait");
            let look = async {
                sleep(Duration::from_millis(10)).await;
                metrics.threads().requests_in_flight()
            };
            let (_, seen) = tokio::join!(request, look);
            assert_eq!(seen, expected);
        });
        assert_eq!(metrics.threads().requests_in_flight(), 0);
    }
}

#[test]
fn a_handler_that_panics_has_failed_and_no_client_went_away() {
    let metrics = Metrics::new("shop").unwrap();
    let mut app = app().layer(metrics.layer());
    let asked = catch_unwind(AssertUnwindSafe(|| {
        runtime().block_on(ask(&mut app, "/panic"));
    }));
    assert!(asked.is_err());
    let count = |status| value(&metrics, COUNT, &["/panic", status]);
    assert_eq!(count("\"500\""), Some(1.0));
    assert_eq!(count("\"499\""), None);
    assert_eq!(metrics.threads().requests_in_flight(), 0);
}

const AWAITED: &str = "http_route_await_seconds_total";

#[test]
fn a_request_that_is_dropped_on_a_strange_thread_awaits_no_more() {
    let metrics = Metrics::new("shop").unwrap();
    let mut app = app().layer(metrics.layer());
    let runtime = thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let _registration = metrics.threads().join();
            let runtime = runtime();
            runtime.spawn(async move { ask(&mut app, "/wait").await });
            runtime.block_on(async { sleep(Duration::from_millis(20)).await });
            runtime
        });
        driver.join().unwrap()
    });
    drop(runtime);
    let awaited = || value(&metrics, AWAITED, &["/wait"]).unwrap();
    let at_its_end = awaited();
    assert!(at_its_end >= 0.015, "{at_its_end}");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(awaited(), at_its_end);
    assert_eq!(metrics.threads().requests_in_flight(), 0);
}

#[test]
fn a_request_that_changes_to_or_from_a_strange_thread_takes_nothing_from_others() {
    for begins_here in [false, true] {
        let metrics = Metrics::new("shop").unwrap();
        let mut app = app().layer(metrics.layer());
        let runtime = runtime();
        let mut request = Box::pin(async { ask(&mut app, "/wait").await });
        let mut begin = || {
            let begun = async { timeout(Duration::from_millis(5), &mut request).await };
            assert!(runtime.block_on(begun).is_err());
        };
        if begins_here {
            let _registration = metrics.threads().join();
            begin();
        } else {
            begin();
        }
        let here = (!begins_here).then(|| metrics.threads().join());
        runtime.block_on(&mut request);
        drop((request, here));

        let _registration = metrics.threads().join();
        runtime.block_on(ask(&mut app, "/wait"));
        let awaited = value(&metrics, AWAITED, &["/wait"]).unwrap();
        assert!((0.045..2.0).contains(&awaited), "{awaited}, {begins_here}");
    }
}

#[test]
fn server_timing_is_told_if_asked_for_and_known() {
    let metrics = Metrics::new("shop").unwrap();
    for waits in [Waits::WithThread, Waits::WithoutThread] {
        let timing = |tells: bool| {
            let layer = metrics.layer().waits(waits);
            let mut app = app().layer(if tells {
                layer.server_timing(true)
            } else {
                layer
            });
            let response = runtime().block_on(ask(&mut app, "/wait"));
            let value = response.headers().get("server-timing")?;
            Some(value.to_str().unwrap().to_owned())
        };
        assert_eq!(timing(true), None, "the thread is not registered");
        let _registration = metrics.threads().join();
        assert_eq!(timing(false), None);
        let told = timing(true).unwrap();
        let waited = if waits == Waits::WithThread {
            "block"
        } else {
            "await"
        };
        let milliseconds = told.split(", ").find_map(|part| {
            let (name, value) = part.split_once(";dur=")?;
            (name == waited).then(|| value.parse::<f64>().unwrap())
        });
        assert!(milliseconds.is_some_and(|waited| waited > 40.0), "{told}");
    }
}
