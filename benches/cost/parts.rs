//! The cost of each part of a request, measured in a loop. In a loop all code and data is in the caches, unlike between
//! a server's system calls, so the parts sum to less than the whole.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use axum::body::Body;
use futures_util::FutureExt;
use http::Request;
use thread_states::{HoldEnd, HoldStart, InFlight, Metrics, Registry, Timestamp};
use threadlab::flavor::Flavor;
use threadlab::gateway::App;
use threadlab::serve::ServerConfig;
use threadlab::{app, serve};
use tower::ServiceExt;

use crate::comparison::quartiles;
use crate::server;

pub(crate) const TITLE: &str = "the parts of a request";

/// Repetitions of a part in one turn: few enough that most turns are not interrupted.
const TIMES: u32 = 200;
/// Turns of a part for each turn of a server.
const TURNS: usize = 20;

/// Measures each part in this many turns, and writes a table in Markdown.
pub(crate) fn measure(turns: usize, out: &mut dyn Write) -> anyhow::Result<()> {
    let registry = Registry::new("parts", app::ROUTES.iter().map(|route| (*route).to_owned()));
    let in_flight = InFlight::of_one_thread();
    let _registration = registry.register(0, in_flight.clone());
    let metrics = Metrics::of(registry.clone());

    writeln!(out, "## {TITLE}\n\n| in a loop | ns |\n|---|--:|")?;
    for (name, mut request) in requests(&registry, &metrics) {
        anyhow::ensure!(request(), "the app did not respond at once");
        row(name, turns, out, || {
            request();
        })?;
    }
    let at = Timestamp::from_nanos;
    row("mark: a clock read", turns, out, || {
        black_box(Timestamp::now());
    })?;
    row(
        "marks: hold and release, without their clock reads",
        turns,
        out,
        || {
            thread_states::hold_at(at(1), 0, HoldStart::New);
            thread_states::release_at(at(2), 0, HoldEnd::Done);
        },
    )?;
    row("marks: park and unpark", turns, out, || {
        thread_states::park();
        thread_states::unpark();
    })?;
    row(
        "a request enters and leaves the count in flight",
        turns,
        out,
        || drop(in_flight.enter()),
    )?;
    row("a route's index", turns, out, || {
        black_box(registry.routes().index("/dummy"));
    })?;
    writeln!(out)?;
    Ok(())
}

/// Sends one request, and returns whether the response was there at once.
type SendRequest = Box<dyn FnMut() -> bool>;

/// From the smallest to the whole stack.
fn requests(registry: &Registry, metrics: &Metrics) -> [(&'static str, SendRequest); 5] {
    let settings = ServerConfig::default();
    let flavor = Flavor::Async;
    let stack = |layer| to(serve::stack(flavor, layer, None, registry, &settings));
    let layer = || serve::request_layer(flavor, metrics);
    [
        (
            "axum: an app of one route",
            to(server::one_route().with_state(())),
        ),
        (
            "the app: limits, panics, one shape of errors",
            to(app::service(app::BodyLimit::default(), None)),
        ),
        (
            "and request IDs, a limit of requests in flight",
            to(serve::unmeasured_stack(flavor, None, registry, &settings)),
        ),
        (
            "and requests measured, without `Server-Timing`",
            stack(layer().server_timing(false)),
        ),
        ("and `Server-Timing`", stack(layer())),
    ]
}

/// Requests to this app, as a gateway calls it.
fn to<A: App>(mut app: A) -> SendRequest {
    Box::new(move || {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/dummy");
        let ready = app.ready().now_or_never();
        let response = ready.and_then(|app| app.ok()?.call(request).now_or_never());
        response.is_some()
    })
}

fn row(name: &str, turns: usize, out: &mut dyn Write, mut part: impl FnMut()) -> io::Result<()> {
    let turn = |_| {
        let begun = Instant::now();
        (0..TIMES).for_each(|_| part());
        begun.elapsed().as_nanos() as f64 / f64::from(TIMES)
    };
    let [_, median, _] = quartiles((0..TURNS * turns).map(turn));
    writeln!(out, "| {name} | {median:.0} |")
}
