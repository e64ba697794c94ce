//! The endpoints: five ways of spending a while, of which the caller sees no difference and
//! the server's thread a great one.

use std::thread;

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::task;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cpu;
use super::problem_schema;
use super::refusal::Refusals;
use super::seconds::{Seconds, SecondsRefused};
use thread_states::problem::Problem;

/// The endpoints together with the document that describes them.
pub(super) fn router() -> OpenApiRouter {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(awaiting))
        .routes(routes!(dummy))
        .routes(routes!(blocking))
        .routes(routes!(offloaded))
        .routes(routes!(cpu))
}

/// What the document says beyond the endpoints. Its server is relative, because a front serves
/// the app under a prefix that the app does not know.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "threadlab",
        description = "Five ways of spending a while. The same application is served by a \
            synchronous and by an asynchronous server; what differs is what a request does to \
            the thread that serves it."
    ),
    servers((url = "./", description = "the server that this document came from")),
    components(schemas(problem_schema::Problem))
)]
struct Description;

/// A good answer.
#[derive(Debug, Serialize, ToSchema)]
struct Answer {
    /// What was done.
    #[schema(example = "awaited a timer")]
    message: &'static str,
    /// For how long, as asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20.0, nullable = false)]
    seconds: Option<f64>,
}

impl Answer {
    fn after(seconds: Seconds, message: &'static str) -> Json<Self> {
        Json(Self {
            message,
            seconds: Some(seconds.get().as_secs_f64()),
        })
    }
}

/// Await a timer
///
/// Waits without need of a thread. The asynchronous server does other work meanwhile; the
/// synchronous one's thread waits along.
#[utoipa::path(
    get,
    path = "/",
    params(Seconds),
    responses((status = 200, description = "The time is over.", body = Answer), SecondsRefused, Refusals)
)]
async fn awaiting(seconds: Seconds) -> Json<Answer> {
    tokio::time::sleep(seconds.get()).await;
    Answer::after(seconds, "awaited a timer")
}

/// Answer at once
///
/// Does nothing, so any wait for the answer is a wait for a thread.
#[utoipa::path(
    get,
    path = "/dummy",
    responses((status = 200, description = "The answer.", body = Answer), Refusals)
)]
async fn dummy() -> Json<Answer> {
    Json(Answer {
        message: "nothing to wait for",
        seconds: None,
    })
}

/// Block the thread
///
/// The mistake: the call holds its thread while it waits, and with it the whole event loop of
/// the asynchronous server.
#[utoipa::path(
    get,
    path = "/blocking",
    params(Seconds),
    responses((status = 200, description = "The time is over.", body = Answer), SecondsRefused, Refusals)
)]
async fn blocking(seconds: Seconds) -> Json<Answer> {
    // A blocking call in an async function, on purpose.
    thread::sleep(seconds.get());
    Answer::after(seconds, "blocked the thread")
}

/// Block another thread
///
/// The remedy: the same blocking call, on a thread that is kept for such calls.
#[utoipa::path(
    get,
    path = "/offloaded",
    params(Seconds),
    responses((status = 200, description = "The time is over.", body = Answer), SecondsRefused, Refusals)
)]
async fn offloaded(seconds: Seconds) -> Result<Json<Answer>, Problem> {
    task::spawn_blocking(move || thread::sleep(seconds.get()))
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the blocking call did not come to its end",
            )
        })?;
    Ok(Answer::after(seconds, "blocked another thread"))
}

/// Compute
///
/// Uses `seconds` of CPU time. Neither server can do other work on the thread meanwhile.
#[utoipa::path(
    get,
    path = "/cpu",
    params(Seconds),
    responses((status = 200, description = "The CPU time is used up.", body = Answer), SecondsRefused, Refusals)
)]
async fn cpu(seconds: Seconds) -> Json<Answer> {
    cpu::compute(seconds.get());
    Answer::after(seconds, "computed")
}
