//! The thread states as JSON: all of them once, or their changes ten times a second.

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
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

use super::changes::Viewer;
use super::links::Link;
use super::look::Looks;
use super::replicas::Replicas;
use super::watched_server::WatchedServer;
use crate::metrics::{AcceptQueue, Probe};
use thread_states::problem::{Parameter, Problem};
use thread_states::{ThreadReading, Times};

/// The time between two events.
const INTERVAL: Duration = Duration::from_millis(100);

/// Viewers at once: fewer than the connections that the metrics port takes, so that scrapes and
/// health checks find room.
const MOST_VIEWERS: usize = 128;

/// A server and its threads up to now.
#[derive(Debug, Serialize)]
struct ServerStates {
    server: String,
    active_requests: u64,
    /// Absent if the kernel does not tell.
    accept_queue: Option<AcceptQueue>,
    threads: Vec<Thread>,
}

#[derive(Debug, Serialize)]
struct Thread {
    thread: String,
    /// Its state at this moment; absent once it has ended.
    state: Option<&'static str>,
    /// Since it began, as in `thread_state_seconds_total`.
    seconds: Seconds,
}

#[derive(Debug, Serialize)]
struct Seconds {
    running: f64,
    runnable: f64,
    blocked: f64,
    awaiting: f64,
    idle: f64,
}

impl From<&Times> for Seconds {
    fn from(times: &Times) -> Self {
        use thread_states::State::{Awaiting, Blocked, Idle, Runnable, Running};
        Self {
            running: times.seconds(Running),
            runnable: times.seconds(Runnable),
            blocked: times.seconds(Blocked),
            awaiting: times.seconds(Awaiting),
            idle: times.seconds(Idle),
        }
    }
}

impl ServerStates {
    fn read(server: &WatchedServer) -> Self {
        let registry = &server.registry;
        let thread = |thread: ThreadReading| Thread {
            thread: thread.index.to_string(),
            state: thread.state.map(thread_states::State::as_str),
            seconds: Seconds::from(&thread.times),
        };
        Self {
            server: registry.server().to_owned(),
            active_requests: registry.requests_in_flight(),
            accept_queue: server.accept_queue.as_ref().and_then(Probe::read),
            threads: registry.read().threads.into_iter().map(thread).collect(),
        }
    }
}

/// `/threads`, a list of the servers of this process, and `/threads/stream`, the changes of the
/// first of them as server-sent events. `?server=NAME` chooses one. A viewer is told of `links` at first,
/// and how many addresses `name` (`HOST:PORT`) has, if replicas of the server share one.
pub fn routes(servers: Vec<WatchedServer>, links: &[Link], name: Option<&str>) -> Router {
    Router::new()
        .route("/threads", get(threads))
        .route("/threads/stream", get(threads_stream))
        .with_state(Lab {
            servers: Arc::from(servers),
            links: Arc::from(links),
            name: name.map(Arc::from),
            places: Arc::new(Semaphore::new(MOST_VIEWERS)),
            looks: Arc::default(),
        })
}

/// What the routes tell of.
#[derive(Debug, Clone)]
struct Lab {
    servers: Arc<[WatchedServer]>,
    links: Arc<[Link]>,
    name: Option<Arc<str>>,
    /// For viewers.
    places: Arc<Semaphore>,
    looks: Arc<Looks>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    server: Option<String>,
}

async fn threads(
    State(lab): State<Lab>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Response {
    match choose(&lab.servers, choice) {
        Ok(chosen) => {
            Json(chosen.iter().map(ServerStates::read).collect::<Vec<_>>()).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn threads_stream(
    State(lab): State<Lab>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Response {
    let (name, looks) = (lab.name.clone(), Arc::clone(&lab.looks));
    match viewer(lab, choice) {
        Ok((viewer, place)) => Sse::new(events(viewer, looks, name, place)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// A viewer of the server that was chosen, and its place among the viewers.
fn viewer(
    lab: Lab,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<(Viewer, OwnedSemaphorePermit), Problem> {
    let chosen = choose(&lab.servers, choice)?.into_iter().next();
    let server =
        chosen.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no server here"))?;
    let place = lab.places.try_acquire_owned().map_err(|_| {
        let detail = format!("{MOST_VIEWERS} viewers are here, which is the most at once");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    Ok((Viewer::new(server, lab.links), place))
}

fn choose(
    servers: &[WatchedServer],
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<Vec<WatchedServer>, Problem> {
    let Query(choice) =
        choice.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let Some(name) = choice.server else {
        return Ok(servers.to_vec());
    };
    let known = |server: &WatchedServer| server.name().to_owned();
    match servers.iter().find(|server| known(server) == name) {
        Some(server) => Ok(vec![server.clone()]),
        None => {
            let names: Vec<_> = servers.iter().map(known).collect();
            let rule = format!("one of: {}", names.join(", "));
            let detail = format!("there is no server {name:?} here");
            Err(
                Problem::new(StatusCode::NOT_FOUND, detail).with_parameter(Parameter {
                    name: "server",
                    value: name,
                    rule,
                }),
            )
        }
    }
}

/// The events for a viewer, who has the place for as long as they flow.
fn events(
    viewer: Viewer,
    looks: Arc<Looks>,
    name: Option<Arc<str>>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(INTERVAL);
    // A viewer that was slow gets the present, not the past.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = (ticks, viewer, looks, Replicas::sharing(name), place);
    stream::unfold(
        began,
        async |(mut ticks, mut viewer, looks, mut replicas, place)| {
            ticks.tick().await;
            let replicas_now = replicas.count().await;
            let changes = viewer.next(&looks.at(viewer.server()), replicas_now);
            // Plain numbers and strings: this cannot fail, and if it did a comment harms no viewer.
            let event = Event::default();
            let event = event
                .json_data(changes)
                .unwrap_or(Event::default().comment("no data"));
            Some((Ok(event), (ticks, viewer, looks, replicas, place)))
        },
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use thread_states::Registry;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_viewer_too_many_is_refused_until_another_leaves() {
        let routes = routes(
            vec![WatchedServer::new(Registry::new("sync", []), None)],
            &[],
            None,
        );
        let watch = async || {
            let request = Request::get("/threads/stream").body(Body::empty()).unwrap();
            routes.clone().oneshot(request).await.unwrap()
        };
        let mut watching = Vec::new();
        for _ in 0..MOST_VIEWERS {
            let answer = watch().await;
            assert_eq!(answer.status(), StatusCode::OK);
            watching.push(answer);
        }
        assert_eq!(watch().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        watching.pop();
        assert_eq!(watch().await.status(), StatusCode::OK);
    }
}
