//! The endpoints: ways to spend time that look the same to the caller but treat the server's
//! thread very differently.

use std::thread;

use axum::Json;
use axum::http::StatusCode;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::completed::Completed;
use super::cpu;
use super::problem_schema;
use super::queries;
use super::rejection::Rejections;
use super::seconds::{Seconds, SecondsRejected};
use crate::database::Database;
use thread_states::problem::Problem;

/// Returns the endpoints together with the document that describes them. Those that query a database use `database`.
pub(super) fn router(database: Option<Database>) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(awaiting))
        .routes(routes!(dummy))
        .routes(routes!(blocking))
        .routes(routes!(offloaded))
        .routes(routes!(cpu))
        .merge(queries::router(database))
}

/// Parts of the document beyond the endpoints. The server's URL is relative, because a front serves
/// the app under a prefix that the app does not know.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "threadlab",
        description = "Ways to spend time. A synchronous and an asynchronous server serve the \
            same application; they differ in what a request does to the thread that handles it."
    ),
    servers((url = "./", description = "the server of this document")),
    components(schemas(problem_schema::Problem))
)]
struct Description;

/// Await a timer
///
/// Waits without needing a thread. The thread of the asynchronous server handles other requests
/// meanwhile; the thread of the synchronous server waits with the request.
#[utoipa::path(
    get,
    path = "/",
    params(Seconds),
    responses((status = 200, description = "The time has passed.", body = Completed), SecondsRejected, Rejections)
)]
async fn awaiting(seconds: Seconds) -> Json<Completed> {
    tokio::time::sleep(seconds.get()).await;
    Completed::after(seconds, "awaited a timer")
}

/// Respond at once
///
/// Does nothing: all the time until the response is time in the queue for a thread.
#[utoipa::path(
    get,
    path = "/dummy",
    responses((status = 200, description = "Success.", body = Completed), Rejections)
)]
async fn dummy() -> Json<Completed> {
    Json(Completed {
        message: "nothing to wait for",
        seconds: None,
    })
}

/// Block the thread
///
/// The mistake: a blocking call occupies its thread while it waits, and on the asynchronous server
/// the thread's whole event loop.
#[utoipa::path(
    get,
    path = "/blocking",
    params(Seconds),
    responses((status = 200, description = "The time has passed.", body = Completed), SecondsRejected, Rejections)
)]
async fn blocking(seconds: Seconds) -> Json<Completed> {
    // A blocking call in an async function, on purpose: this is the mistake to show.
    thread::sleep(seconds.get());
    Completed::after(seconds, "blocked the thread")
}

/// Block another thread
///
/// The remedy: the same blocking call on a thread of the pool for blocking calls.
#[utoipa::path(
    get,
    path = "/offloaded",
    params(Seconds),
    responses((status = 200, description = "The time has passed.", body = Completed), SecondsRejected, Rejections)
)]
async fn offloaded(seconds: Seconds) -> Result<Json<Completed>, Problem> {
    thread_states::spawn_blocking(move || thread::sleep(seconds.get()))
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the blocking call was cancelled or panicked",
            )
        })?;
    Ok(Completed::after(seconds, "blocked another thread"))
}

/// Compute
///
/// Uses `seconds` of CPU time. On both servers the thread can do nothing else meanwhile.
#[utoipa::path(
    get,
    path = "/cpu",
    params(Seconds),
    responses((status = 200, description = "The CPU time has been used.", body = Completed), SecondsRejected, Rejections)
)]
async fn cpu(seconds: Seconds) -> Json<Completed> {
    cpu::compute(seconds.get());
    Completed::after(seconds, "computed")
}
