//! The thread states over HTTP: `/threads` returns them once, `/threads/stream` ten times a second.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{Stream, stream};
use http::StatusCode;
use serde::Deserialize;
use thread_states::problem::{Parameter, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

use super::event::Viewer;
use super::link::Link;
use super::recorder::{self, WatchedServers};
use super::replicas::Replicas;
use super::samples::Samples;
use super::states::ServerStates;
use super::watched_server::WatchedServer;

/// Time between two events.
const INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of viewers: below the number of connections that the metrics port accepts, so that
/// scrapes and health checks always find a free one.
const MAX_VIEWERS: usize = 128;

/// Returns the routes `/threads` and `/threads/stream`.
///
/// `/threads` returns a JSON array with the state of each server, `/threads/stream` the events of the
/// first server; `?server=NAME` selects one. Events have the `links`, and the number of addresses of
/// `shared_name` (`HOST:PORT`), the name that replicas of the server share, if there is one.
///
/// A thread records the states of the last minute until the routes are dropped.
pub fn routes(servers: Vec<WatchedServer>, links: &[Link], shared_name: Option<&str>) -> Router {
    routes_of(move || servers.clone(), links, shared_name)
}

/// Returns the same routes for servers that may become more: `servers` returns those of the moment.
pub fn routes_of(
    servers: impl Fn() -> Vec<WatchedServer> + Send + Sync + 'static,
    links: &[Link],
    shared_name: Option<&str>,
) -> Router {
    let servers: Arc<WatchedServers> = Arc::new(servers);
    let samples = Arc::default();
    recorder::spawn(&servers, &samples, INTERVAL);
    Router::new()
        .route("/threads", get(threads))
        .route("/threads/stream", get(threads_stream))
        .with_state(StreamState {
            servers,
            links: Arc::from(links),
            shared_name: shared_name.map(Arc::from),
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
            samples,
        })
}

/// State of both routes.
#[derive(Clone)]
struct StreamState {
    servers: Arc<WatchedServers>,
    links: Arc<[Link]>,
    shared_name: Option<Arc<str>>,
    viewers: Arc<Semaphore>,
    samples: Arc<Samples>,
}

#[derive(Debug, Deserialize)]
struct Selection {
    server: Option<String>,
}

async fn threads(
    State(state): State<StreamState>,
    selection: Result<Query<Selection>, QueryRejection>,
) -> Response {
    match select(&(state.servers)(), selection) {
        Ok(servers) => {
            let states: Vec<_> = servers.iter().map(ServerStates::of).collect();
            Json(states).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn threads_stream(
    State(state): State<StreamState>,
    selection: Result<Query<Selection>, QueryRejection>,
) -> Response {
    let samples = Arc::clone(&state.samples);
    let replicas = Replicas::sharing(state.shared_name.clone());
    match viewer(state, selection) {
        Ok((viewer, permit)) => Sse::new(events(viewer, samples, replicas, permit)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Returns a viewer of the selected server, and its permit.
fn viewer(
    state: StreamState,
    selection: Result<Query<Selection>, QueryRejection>,
) -> Result<(Viewer, OwnedSemaphorePermit), Problem> {
    let selected = select(&(state.servers)(), selection)?.into_iter().next();
    let server = selected
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "this process has no server"))?;
    let permit = state.viewers.try_acquire_owned().map_err(|_| {
        let detail = format!("{MAX_VIEWERS} viewers are connected, the maximum");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    Ok((Viewer::new(server, state.links), permit))
}

fn select(
    servers: &[WatchedServer],
    selection: Result<Query<Selection>, QueryRejection>,
) -> Result<Vec<WatchedServer>, Problem> {
    let Query(selection) = selection
        .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let Some(name) = selection.server else {
        return Ok(servers.to_vec());
    };
    if let Some(server) = servers.iter().find(|server| server.name() == name) {
        return Ok(vec![server.clone()]);
    }
    let names: Vec<_> = servers.iter().map(WatchedServer::name).collect();
    let rule = format!("one of: {}", names.join(", "));
    let problem = Problem::new(StatusCode::NOT_FOUND, format!("unknown server {name:?}"));
    Err(problem.with_parameter(Parameter {
        name: "server",
        value: name,
        rule,
    }))
}

/// Returns the events for a viewer, which keeps its permit until the stream ends.
fn events(
    viewer: Viewer,
    samples: Arc<Samples>,
    replicas: Replicas,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(INTERVAL);
    // A slow viewer gets the present state next, not all events that it missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let is_first = true;
    stream::unfold(
        (ticks, viewer, samples, replicas, permit, is_first),
        async |(mut ticks, mut viewer, samples, mut replicas, permit, is_first)| {
            ticks.tick().await;
            let replica_count = replicas.count().await;
            let (sample, history) = if is_first {
                samples.with_history(viewer.server())
            } else {
                (samples.of(viewer.server()), BTreeMap::new())
            };
            // Serializing numbers and strings cannot fail; if it did, a comment would do no harm.
            let event = Event::default()
                .json_data(viewer.event(&sample, history, replica_count))
                .unwrap_or(Event::default().comment("no data"));
            let state = (ticks, viewer, samples, replicas, permit, false);
            Some((Ok(event), state))
        },
    )
}

#[cfg(test)]
mod tests {
    use std::thread;

    use axum::body::Body;
    use futures_util::StreamExt;
    use http::Request;
    use serde_json::Value;
    use thread_states::{InFlight, Registry};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_viewer_beyond_the_limit_gets_503_until_another_leaves() {
        let servers = vec![WatchedServer::new(Registry::new("sync", []), None)];
        let routes = routes(servers, &[], None);
        let watch = async || {
            let request = Request::get("/threads/stream").body(Body::empty()).unwrap();
            routes.clone().oneshot(request).await.unwrap()
        };
        let mut watching = Vec::new();
        for _ in 0..MAX_VIEWERS {
            let response = watch().await;
            assert_eq!(response.status(), StatusCode::OK);
            watching.push(response);
        }
        assert_eq!(watch().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        watching.pop();
        assert_eq!(watch().await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn the_first_event_has_the_states_from_before_the_viewer_came() {
        let registry = Registry::new("sync", []);
        let _registration = registry.register(0, InFlight::new());
        let began = thread_states::Timestamp::now();
        thread_states::park();
        let servers = vec![WatchedServer::new(registry, None)];
        let routes = routes(servers, &[], None);
        thread::sleep(3 * INTERVAL);

        let request = Request::get("/threads/stream").body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let mut events = response.into_body().into_data_stream();
        let mut next = async || -> Value {
            let event = events.next().await.unwrap().unwrap();
            serde_json::from_slice(event.strip_prefix(b"data: ").unwrap()).unwrap()
        };
        let first = next().await;
        let moments = first["history"]["0"].as_array().unwrap();
        assert!(moments.len() >= 2, "{first}");
        let age = first["now"].as_f64().unwrap() - moments[0][0].as_f64().unwrap();
        let since = began.elapsed().as_secs_f64() * 1e3;
        assert!((150.0..since).contains(&age), "{age} ms, not up to {since}");
        assert_eq!(next().await["history"], Value::Null);
        thread_states::unpark();
    }

    #[tokio::test]
    async fn the_recorder_ends_with_the_routes() {
        let servers = vec![WatchedServer::new(Registry::new("sync", []), None)];
        let owner = Arc::new(());
        let held = Arc::clone(&owner);
        let servers = move || {
            let _ = &held;
            servers.clone()
        };
        let routes = routes_of(servers, &[], None);
        assert_eq!(Arc::strong_count(&owner), 2);
        drop(routes);
        // The thread may be reading at the moment.
        for _ in 0..100 {
            if Arc::strong_count(&owner) == 1 {
                return;
            }
            thread::sleep(INTERVAL / 10);
        }
        panic!("the routes are still in use");
    }
}
