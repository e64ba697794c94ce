//! The endpoints that wait for a database: the same query through a synchronous driver, through the same driver on
//! another thread, and through an asynchronous driver.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::AppendHeaders;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response as ApiResponse};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::completed::Completed;
use super::rejection::{self, Rejections};
use super::seconds::Seconds;
use super::slots::{QueryRejected, Slots};
use crate::database::{
    AsynchronousDriver, Database, DatabaseError, DatabaseQuery, SynchronousDriver,
};
use thread_states::problem::Problem;

/// Returns the endpoints, which use `database`, together with their part of the OpenAPI document.
pub(super) fn router(database: Option<Database>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(synchronous))
        .routes(routes!(offloaded))
        .routes(routes!(asynchronous))
        .with_state(database)
}

/// The database of the server, if it has one.
type Configured = State<Option<Database>>;

/// Response to a query that succeeded, with the time that it waited in pools.
type Queried = (AppendHeaders<[(HeaderName, String); 1]>, Json<Completed>);

fn query(seconds: Seconds, slots: Slots) -> DatabaseQuery {
    DatabaseQuery {
        time: seconds.get(),
        slots: slots.get(),
    }
}

fn queried(seconds: Seconds, pool: Duration, message: &'static str) -> Queried {
    let name = HeaderName::from_static("server-timing");
    let milliseconds = pool.as_secs_f64() * 1e3;
    let headers = AppendHeaders([(name, format!("pool;dur={milliseconds:.3}"))]);
    (headers, Completed::after(seconds, message))
}

/// Query with a synchronous driver
///
/// The mistake: Diesel, called in an `async fn`. The thread is blocked until the database has responded, on the
/// asynchronous server with its whole event loop.
#[utoipa::path(
    get,
    path = "/database/synchronous",
    params(Seconds, Slots),
    responses((status = 200, description = "The query has ended.", body = Completed), QueryRejected, QueryFailed, Rejections)
)]
async fn synchronous(
    State(database): Configured,
    seconds: Seconds,
    slots: Slots,
) -> Result<Queried, Problem> {
    // A blocking call in an async function, on purpose: this is the mistake to show.
    let waited = synchronous_driver(database)?.query(&query(seconds, slots))?;
    Ok(queried(
        seconds,
        waited,
        "queried with a synchronous driver",
    ))
}

/// Query with a synchronous driver on another thread
///
/// The remedy for synchronous drivers: the same call on a thread of the pool for blocking calls. If the client
/// disconnects, the call still runs to its end.
#[utoipa::path(
    get,
    path = "/database/offloaded",
    params(Seconds, Slots),
    responses((status = 200, description = "The query has ended.", body = Completed), QueryRejected, QueryFailed, Rejections)
)]
async fn offloaded(
    State(database): Configured,
    seconds: Seconds,
    slots: Slots,
) -> Result<Queried, Problem> {
    let driver = synchronous_driver(database)?;
    let query = query(seconds, slots);
    // The driver has no deadline if PostgreSQL does not respond at all. Its thread then waits on, the client does not.
    let limit = driver.longest(query.time);
    let queued = Instant::now();
    let call = thread_states::spawn_blocking(move || {
        let queued = queued.elapsed();
        driver.query(&query).map(|waited| queued + waited)
    });
    // A call that no thread has begun is dropped with the request.
    let call = AbortOnDropHandle::new(call);
    let waited = timeout(limit, call)
        .await
        .map_err(|_| DatabaseError::TooSlow { after: limit })?
        .map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the query was cancelled or panicked",
            )
        })??;
    Ok(queried(seconds, waited, "queried on another thread"))
}

/// Query with an asynchronous driver
///
/// tokio-postgres: the thread is free while the database works. If the client disconnects, the query is cancelled.
/// SQLite has no asynchronous driver.
#[utoipa::path(
    get,
    path = "/database/asynchronous",
    params(Seconds, Slots),
    responses(
        (status = 200, description = "The query has ended.", body = Completed), QueryRejected, NoDriver, QueryFailed, Rejections
    )
)]
async fn asynchronous(
    State(database): Configured,
    seconds: Seconds,
    slots: Slots,
) -> Result<Queried, Problem> {
    let waited = asynchronous_driver(database)?
        .query(&query(seconds, slots))
        .await?;
    Ok(queried(
        seconds,
        waited,
        "queried with an asynchronous driver",
    ))
}

fn synchronous_driver(database: Option<Database>) -> Result<SynchronousDriver, Problem> {
    let database = database.ok_or_else(|| no_driver("this server has no database"))?;
    Ok(database.synchronous)
}

fn asynchronous_driver(database: Option<Database>) -> Result<AsynchronousDriver, Problem> {
    let database = database.ok_or_else(|| no_driver("this server has no database"))?;
    database.asynchronous.ok_or_else(|| {
        no_driver(
            "SQLite has no asynchronous driver: start the server with --database postgresql://USER@HOST/DATABASE",
        )
    })
}

fn no_driver(detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_IMPLEMENTED, detail)
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        let status = match error {
            DatabaseError::TooSlow { .. } => StatusCode::GATEWAY_TIMEOUT,
            DatabaseError::PoolExhausted { .. }
            | DatabaseError::Unavailable(_)
            | DatabaseError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::new(status, error.to_string())
    }
}

/// The responses to a query that failed, for the OpenAPI document.
struct QueryFailed;

impl IntoResponses for QueryFailed {
    fn responses() -> BTreeMap<String, RefOr<ApiResponse>> {
        rejection::described([
            (
                "503",
                "The database is down, has no more room or ended the query, or no connection of the pool was free in time.",
            ),
            ("504", "The database did not respond in time."),
        ])
    }
}

/// The response if the database has no asynchronous driver, for the OpenAPI document.
struct NoDriver;

impl IntoResponses for NoDriver {
    fn responses() -> BTreeMap<String, RefOr<ApiResponse>> {
        rejection::described([("501", "The database has no asynchronous driver.")])
    }
}
