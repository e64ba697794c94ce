//! The request layer around an app that knows nothing of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use thread_states::metrics::ThreadModel;
use thread_states::{MOST_NEW_ROUTES, Metrics, OTHER};
use tokio::runtime::{Builder, Runtime};
use tokio::task::block_in_place;
use tokio::time::sleep;
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

async fn send(app: &mut Router, path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    app.call(request).await.unwrap()
}

/// The value of the first series whose line begins with `name` and has all these parts.
fn value(metrics: &Metrics, name: &str, parts: &[&str]) -> Option<f64> {
    let text = metrics.encode();
    let mut lines = text.lines().filter(|line| line.starts_with(name));
    let line = lines.find(|line| parts.iter().all(|part| line.contains(part)))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

const COUNT: &str = "http_server_request_duration_seconds_count";

#[test]
fn requests_are_counted_under_the_pattern_of_their_route() {
    let metrics = Metrics::new("shop");
    let mut app = app().layer(metrics.layer());
    runtime().block_on(async {
        for path in ["/basket/1", "/basket/2", "/nowhere", "/else", "/"] {
            send(&mut app, path).await;
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
fn routes_beyond_the_limit_share_one_series() {
    let metrics = Metrics::new("shop");
    let routes = 0..MOST_NEW_ROUTES + 10;
    let app = routes.clone().fold(Router::new(), |app, number| {
        app.route(&format!("/{number}"), get(async || ""))
    });
    let mut app = app.layer(metrics.layer());
    runtime().block_on(async {
        for number in routes {
            send(&mut app, &format!("/{number}")).await;
        }
    });
    let other = format!(r#"http_route="{OTHER}""#);
    assert_eq!(value(&metrics, COUNT, &[&other]), Some(11.0));
    assert_eq!(metrics.threads().routes().iter().count(), MOST_NEW_ROUTES);
}

#[test]
fn requests_are_in_flight_while_they_wait() {
    for (counted, expected) in [(true, 1), (false, 0)] {
        let metrics = Metrics::new("shop");
        let mut app = app().layer(metrics.layer().count_in_flight(counted));
        runtime().block_on(async {
            let request = send(&mut app, "/wait");
            let observe = async {
                sleep(Duration::from_millis(10)).await;
                metrics.threads().requests_in_flight()
            };
            let (_, seen) = tokio::join!(request, observe);
            assert_eq!(seen, expected);
        });
        assert_eq!(metrics.threads().requests_in_flight(), 0);
    }
}

#[test]
fn a_request_whose_handler_panics_counts_as_500_and_not_as_499() {
    let metrics = Metrics::new("shop");
    let mut app = app().layer(metrics.layer());
    let response = catch_unwind(AssertUnwindSafe(|| {
        runtime().block_on(send(&mut app, "/panic"));
    }));
    assert!(response.is_err());
    let count = |status| value(&metrics, COUNT, &["/panic", status]);
    assert_eq!(count("\"500\""), Some(1.0));
    assert_eq!(count("\"499\""), None);
    assert_eq!(metrics.threads().requests_in_flight(), 0);
}

const AWAITED: &str = "http_route_await_seconds_total";

#[test]
fn a_request_dropped_on_an_unregistered_thread_ends_its_await() {
    let metrics = Metrics::new("shop");
    let mut app = app().layer(metrics.layer());
    let runtime = thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let _registration = metrics.register_current_thread();
            let runtime = runtime();
            runtime.spawn(async move { send(&mut app, "/wait").await });
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
fn a_request_that_moves_to_or_from_an_unregistered_thread_changes_no_other_times() {
    for begins_here in [false, true] {
        let metrics = Metrics::new("shop");
        let mut app = app().layer(metrics.layer());
        let runtime = runtime();
        let mut request = Box::pin(async { send(&mut app, "/wait").await });
        let mut begin = || {
            // Polled once: on a busy machine it could end within any time.
            let begun = poll_fn(|context| Poll::Ready(request.as_mut().poll(context)));
            assert!(runtime.block_on(begun).is_pending());
        };
        if begins_here {
            let _registration = metrics.register_current_thread();
            begin();
        } else {
            begin();
        }
        let here = (!begins_here).then(|| metrics.register_current_thread());
        runtime.block_on(&mut request);
        drop((request, here));

        let _registration = metrics.register_current_thread();
        runtime.block_on(send(&mut app, "/wait"));
        let awaited = value(&metrics, AWAITED, &["/wait"]).unwrap();
        assert!((0.045..2.0).contains(&awaited), "{awaited}, {begins_here}");
    }
}

#[test]
fn responses_have_server_timing_if_enabled_and_the_thread_is_registered() {
    let metrics = Metrics::new("shop");
    for thread_model in [ThreadModel::ThreadPerRequest, ThreadModel::EventLoop] {
        let timing = |enabled: bool| {
            let layer = metrics.layer().thread_model(thread_model);
            let mut app = app().layer(if enabled {
                layer.server_timing(true)
            } else {
                layer
            });
            let response = runtime().block_on(send(&mut app, "/wait"));
            let value = response.headers().get("server-timing")?;
            Some(value.to_str().unwrap().to_owned())
        };
        assert_eq!(timing(true), None, "the thread is not registered");
        let _registration = metrics.register_current_thread();
        assert_eq!(timing(false), None);
        let header = timing(true).unwrap();
        let waited = if thread_model == ThreadModel::ThreadPerRequest {
            "block"
        } else {
            "await"
        };
        let milliseconds = header.split(", ").find_map(|part| {
            let (name, value) = part.split_once(";dur=")?;
            (name == waited).then(|| value.parse::<f64>().unwrap())
        });
        assert!(milliseconds.is_some_and(|waited| waited > 40.0), "{header}");
    }
}

const READY: &str = "http_route_ready_seconds_total";
const BLOCKED: Duration = Duration::from_millis(200);

fn instrumented(metrics: &Metrics) -> Runtime {
    let mut builder = Builder::new_current_thread();
    metrics.instrument(builder.enable_all()).build().unwrap()
}

/// Lets a runtime register its thread, which it does when it first parks.
async fn park() {
    sleep(Duration::from_millis(1)).await;
}

/// Milliseconds of this name in a `Server-Timing` header.
fn timing(response: &Response<Body>, name: &str) -> Option<f64> {
    let header = response.headers().get("server-timing")?.to_str().ok()?;
    let mut parts = header
        .split(", ")
        .filter_map(|part| part.split_once(";dur="));
    parts.find(|(part, _)| *part == name)?.1.parse().ok()
}

#[test]
fn a_request_whose_event_came_while_another_route_blocked_waited_for_a_thread() {
    let metrics = Metrics::new("shop");
    let wait = get(async || sleep(Duration::from_millis(200)).await);
    let block = get(async || thread::sleep(2 * BLOCKED));
    let app = Router::new().route("/wait", wait).route("/block", block);
    let app = app.layer(metrics.layer().server_timing(true));
    let begun = Instant::now();
    let response = instrumented(&metrics).block_on(async {
        park().await;
        let (mut waits, mut blocks) = (app.clone(), app);
        let victim = tokio::spawn(async move { send(&mut waits, "/wait").await });
        sleep(Duration::from_millis(20)).await;
        send(&mut blocks, "/block").await;
        victim.await.unwrap()
    });
    let lasted = begun.elapsed().as_secs_f64();
    // It awaits 200 ms, and is blocked from 20 ms to 420 ms, or later on a busy machine.
    let value = |name| value(&metrics, name, &["/wait"]).unwrap();
    let (ready, awaited) = (value(READY), value(AWAITED));
    assert!(
        ready > 0.35 && awaited > 0.01 && ready + awaited <= lasted,
        "{ready} ready, {awaited} awaited of {lasted}"
    );
    let in_header = timing(&response, "ready").unwrap() / 1e3;
    assert!((in_header - ready).abs() < 0.001, "{in_header} of {ready}");
}

#[test]
fn a_request_that_was_woken_while_another_route_blocks_waits_for_a_thread_meanwhile() {
    let metrics = Metrics::new("shop");
    let (send_event, event) = tokio::sync::watch::channel(false);
    let listen = get(async move || {
        event.clone().wait_for(|happened| *happened).await.unwrap();
    });
    let block = get(async move || {
        // It wakes the other request, and does not let it run.
        send_event.send_replace(true);
        thread::sleep(BLOCKED);
    });
    let app = app().route("/listen", listen).route("/block", block);
    let app = app.layer(metrics.layer());
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            instrumented(&metrics).block_on(async {
                park().await;
                let (mut listens, mut blocks) = (app.clone(), app.clone());
                let victim = tokio::spawn(async move { send(&mut listens, "/listen").await });
                sleep(Duration::from_millis(20)).await;
                send(&mut blocks, "/block").await;
                victim.await.unwrap();
            });
        });
        let ready = || value(&metrics, READY, &["/listen"]).unwrap_or(0.0);
        while ready() < 0.1 {
            assert!(!server.is_finished(), "{} at the end", ready());
            thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn a_request_that_is_polled_at_once_has_waited_for_no_thread() {
    let metrics = Metrics::new("shop");
    let mut app = app().layer(metrics.layer());
    instrumented(&metrics).block_on(async {
        park().await;
        send(&mut app, "/wait").await
    });
    let value = |name| value(&metrics, name, &["/wait"]).unwrap();
    assert!(value(AWAITED) > 0.045);
    assert!(value(READY) < 0.02, "{}", value(READY));
}

#[test]
fn a_layer_applied_twice_counts_a_request_once() {
    let metrics = Metrics::new("shop");
    let mut app = app().layer(metrics.layer()).layer(metrics.layer());
    runtime().block_on(async {
        send(&mut app, "/").await;
        send(&mut app, "/wait").await;
    });
    let count = |route: &str| value(&metrics, COUNT, &[&format!(r#"http_route="{route}""#)]);
    assert_eq!((count("/"), count("/wait")), (Some(1.0), Some(1.0)));
    // The layer of another server is not the same.
    let other = Metrics::new("other");
    let mut app = app.layer(other.layer());
    runtime().block_on(send(&mut app, "/"));
    assert_eq!(count("/"), Some(2.0));
    assert_eq!(value(&other, COUNT, &[r#"http_route="/""#]), Some(1.0));
}

#[test]
fn other_work_has_a_route_with_its_holds_and_waits() {
    let metrics = Metrics::new("shop");
    let mail = async {
        thread::sleep(Duration::from_millis(30));
        sleep(Duration::from_millis(20)).await;
    };
    instrumented(&metrics).block_on(async {
        park().await;
        tokio::spawn(metrics.measure("mail", mail)).await.unwrap();
    });
    let blocked = value(
        &metrics,
        "http_route_poll_seconds_total",
        &["\"mail\"", "blocked"],
    );
    assert!(
        blocked.is_some_and(|blocked| blocked > 0.025),
        "{blocked:?}"
    );
    let awaited = value(&metrics, AWAITED, &["mail"]);
    assert!(awaited.is_some_and(|awaited| awaited > 0.01), "{awaited:?}");
    let long = value(
        &metrics,
        "http_route_hold_seconds_count",
        &["\"mail\"", "blocked"],
    );
    assert_eq!(long, Some(1.0));
}

#[test]
fn a_route_in_block_in_place_counts_as_awaiting_meanwhile() {
    let metrics = Metrics::new("shop");
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all();
    let runtime = metrics.instrument(&mut builder).build().unwrap();
    let block = get(async || block_in_place(|| thread::sleep(3 * BLOCKED)));
    let mut app = app().route("/block", block).layer(metrics.layer());
    let request = runtime.spawn(async move { send(&mut app, "/block").await });
    let awaited = || value(&metrics, AWAITED, &["\"/block\""]).unwrap_or(0.0);
    // The other thread becomes the worker when it first parks.
    while awaited() < BLOCKED.as_secs_f64() {
        assert!(!request.is_finished(), "{} s at the end", awaited());
        thread::sleep(Duration::from_millis(1));
    }
    runtime.block_on(request).unwrap();
    let after = awaited();
    assert!((0.5..2.0).contains(&after), "{after}");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(awaited(), after);
}
