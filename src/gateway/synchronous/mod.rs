//! Synchronous gateway: each thread serves one connection at a time, and waits when its request
//! waits.
//!
//! By default a connection carries one request. With [`GatewayConfig::keep_alive`] it carries any number, and between two
//! of them no thread holds it.

mod arrival;
mod connection;
mod counted_request;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(not(target_os = "linux"))]
#[path = "unsupported.rs"]
mod idle;
mod stream;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use super::listener::{self, BoundGateway};
use super::running::{RunningGateway, Worker};
use super::{App, GatewayConfig};
use crate::wire::{self, BindError};
use arrival::Arrival;
use connection::SyncConnection;
use counted_request::CountedRequest;
use idle::IdleSet;
use thread_states::{InFlight, Registry, parked};

/// Idle connections of a gateway with this app.
type SharedIdle<A> = IdleSet<Box<SyncConnection<A>>>;

/// Binds the one socket from which all threads accept.
///
/// # Errors
///
/// If the gateway cannot listen on the address, e.g. because its port is taken.
pub fn bind(config: &GatewayConfig) -> Result<BoundGateway, BindError> {
    listener::bind(config, 1)
}

/// Starts the threads, named `name-0`, `name-1` and so on. Each registers under its index, if there is
/// a `registry`. Threads of their blocking pools are named `name-0-pool` and do not register.
///
/// A task that the app spawns makes progress only while its thread serves a connection.
///
/// # Errors
///
/// If the system has no more threads or file descriptors, or if it cannot keep connections (only Linux can); no thread is
/// left running then.
pub fn spawn<A: App>(
    bound: BoundGateway,
    app: A,
    registry: impl Into<Option<Registry>>,
    name: &str,
) -> io::Result<RunningGateway> {
    let GatewayConfig {
        keep_alive,
        connections,
        ..
    } = bound.config;
    let idle = keep_alive.then(|| IdleSet::new(&bound.listeners[0], connections));
    let idle = idle.transpose()?.map(Arc::new);
    let in_flight = InFlight::of_thread_per_request;
    let running =
        RunningGateway::start(bound, registry.into().as_ref(), name, in_flight, |worker| {
            let runtime = runtime(&worker)?;
            let (app, idle) = (app.clone(), idle.clone());
            Ok(move || serve(&worker, runtime, &app, idle.as_deref()))
        })?;
    Ok(match idle {
        Some(idle) => running.with_idle_connections(idle),
        None => running,
    })
}

/// Builds the runtime that drives one connection. While hyper reads and writes, the socket itself
/// blocks; only the lingering close uses tokio's I/O.
fn runtime(worker: &Worker) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(worker.pool_threads.get())
        .thread_name(format!("{}-pool", worker.name))
        .build()
}

/// Runs a thread until the shutdown.
fn serve<A: App>(worker: &Worker, runtime: Runtime, app: &A, idle: Option<&SharedIdle<A>>) {
    // Once, and not for each connection: to enter a runtime takes 2 % of a request's time.
    runtime.block_on(serve_connections(worker, app, idle));
    // Calls that still run on blocking threads belong to requests that have ended.
    runtime.shutdown_background();
}

/// Serves one connection, to its end or until it is idle, then the next, until the shutdown. It blocks while it waits
/// for one.
async fn serve_connections<A: App>(worker: &Worker, app: &A, idle: Option<&SharedIdle<A>>) {
    let mut http = worker.limits.http();
    // Otherwise hyper would read while the app works, to notice a client that leaves, and that read
    // would block the app.
    http.half_close(true).keep_alive(idle.is_some());
    let request = CountedRequest::new(worker.in_flight.as_deref());
    while let Some(arrival) = next(worker, idle, &request) {
        let is_last = matches!(&arrival, Arrival::New(stream) if wire::is_last(stream));
        let connection = match arrival {
            Arrival::New(stream) => {
                SyncConnection::new(&http, stream, app.clone(), worker, idle.is_some(), is_last)
            }
            Arrival::Idle(connection) => connection,
        };
        request.begin();
        let serving = AssertUnwindSafe(connection.serve(worker, idle)).catch_unwind();
        if serving.await.is_err() {
            tracing::error!("a panic ended a connection");
        }
        if is_last {
            request.end();
            wait_for_descriptors(worker, idle);
        }
    }
}

/// Waits until file descriptors are no longer scarce, or for a shutdown. Idle connections give theirs up first, and
/// requests on them are served first: perhaps by no other thread.
fn wait_for_descriptors<A: App>(worker: &Worker, idle: Option<&SharedIdle<A>>) {
    while !worker.shutdown.is_cancelled()
        && let Some(delay) = wire::scarcity(&worker.listener)
        && make_room(idle, delay)
    {}
}

/// Lets the connection that has been idle for longest give up its descriptor, or sleeps if there is none. Returns false,
/// at once, if that connection has a request, which waits for a thread.
fn make_room<A: App>(idle: Option<&SharedIdle<A>>, delay: Duration) -> bool {
    if idle.is_some_and(IdleSet::close_oldest) {
        return true;
    }
    if idle.is_some_and(|idle| !idle.is_empty()) {
        return false;
    }
    thread::sleep(delay);
    true
}

/// Returns the next connection; after a shutdown only one with a request that came before, or `None`. A thread is idle
/// only here, and only if no connection is there yet, as far as that is known without a further system call. `request` is
/// the one that it has served before.
fn next<A: App>(
    worker: &Worker,
    idle: Option<&SharedIdle<A>>,
    request: &CountedRequest<'_>,
) -> Option<Arrival<Box<SyncConnection<A>>>> {
    let park = || {
        request.end();
        parked()
    };
    while !worker.shutdown.is_cancelled() {
        let arrival = match idle {
            Some(idle) => idle.wait(park),
            None => {
                let _parked = park();
                let accepted = worker.listener.accept();
                accepted.map(|(stream, _)| Some(Arrival::New(stream)))
            }
        };
        match arrival {
            Ok(Some(arrival)) => return Some(arrival),
            Ok(None) => {}
            // The shutdown ended listening, and so the call.
            Err(_) if worker.shutdown.is_cancelled() => {}
            Err(error) => match wire::backoff(&error) {
                Duration::ZERO => {}
                delay => {
                    request.end();
                    make_room(idle, delay);
                }
            },
        }
    }
    idle.and_then(IdleSet::take_last).map(Arrival::Idle)
}
