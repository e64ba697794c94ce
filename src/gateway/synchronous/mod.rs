//! Synchronous gateway: each thread serves one connection at a time, and waits when its request
//! waits.

mod stream;

use std::io;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use hyper::server::conn::http1;
use tokio::runtime::{Builder, Runtime};

use super::client_connection::ClientConnection;
use super::connection_state::ConnectionState;
use super::listener::{self, BoundGateway};
use super::running::{RunningGateway, Worker};
use super::service::Connected;
use super::{App, GatewayConfig, rejection};
use crate::wire::{self, BindError};
use stream::BlockingStream;
use thread_states::{InFlight, Registry, park, unpark};

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
/// If the system has no more threads or file descriptors; no thread is left running then.
pub fn spawn<A: App>(
    bound: BoundGateway,
    app: A,
    registry: impl Into<Option<Registry>>,
    name: &str,
) -> io::Result<RunningGateway> {
    RunningGateway::start(bound, registry.into().as_ref(), name, |worker| {
        let runtime = runtime(&worker)?;
        let app = app.clone();
        Ok(move || serve(&worker, runtime, &app))
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

/// Runs a thread until the shutdown: serves one connection to its end, then the next.
fn serve<A: App>(worker: &Worker, runtime: Runtime, app: &A) {
    let mut http = worker.limits.http();
    // Otherwise hyper would read while the app works, to notice a client that leaves, and that read
    // would block the app.
    http.half_close(true).keep_alive(false);
    while let Some(stream) = accept(worker) {
        let is_last = wire::is_last(&stream);
        let in_flight = worker.in_flight.as_ref().map(InFlight::enter);
        let connection = serve_connection(&http, stream, app.clone(), worker);
        if catch_unwind(AssertUnwindSafe(|| runtime.block_on(connection))).is_err() {
            tracing::error!("a panic ended a connection");
        }
        drop(in_flight);
        if is_last {
            wait_for_descriptors(worker);
        }
    }
    // Calls that still run on blocking threads belong to requests that have ended.
    runtime.shutdown_background();
}

/// Waits until file descriptors are no longer scarce, or for a shutdown.
fn wait_for_descriptors(worker: &Worker) {
    while !worker.shutdown.is_cancelled()
        && let Some(delay) = wire::scarcity(&worker.listener)
    {
        thread::sleep(delay);
    }
}

/// Returns the next connection, or `None` after a shutdown. A thread is idle only here.
fn accept(worker: &Worker) -> Option<TcpStream> {
    while !worker.shutdown.is_cancelled() {
        park();
        let accepted = worker.listener.accept();
        unpark();
        match accepted {
            Ok((stream, _)) => return Some(stream),
            // The shutdown ended listening, and so the call.
            Err(_) if worker.shutdown.is_cancelled() => {}
            Err(error) => thread::sleep(wire::backoff(&error)),
        }
    }
    None
}

/// Serves a connection from its first byte to its close: one request.
async fn serve_connection<A: App>(
    http: &http1::Builder,
    stream: TcpStream,
    app: A,
    worker: &Worker,
) {
    let (state, stream) = (Arc::new(ConnectionState::default()), Arc::new(stream));
    let service = Connected {
        app,
        state: Arc::clone(&state),
        client: ClientConnection::of_socket(&stream),
        in_flight: None,
        body_timeout: None,
    };
    let stream = BlockingStream::new(
        stream,
        Arc::clone(&state),
        worker.limits,
        worker.shutdown.clone(),
    );
    let mut connection = http.serve_connection(stream, service);
    let result = (&mut connection).await;
    if let Err(error) = &result {
        tracing::debug!(%error, "connection ended early");
    }
    let parts = connection.into_parts();
    // After a shutdown that interrupted a head, nothing that was sent can be lost.
    let is_cut = worker.shutdown.is_cancelled() && state.is_waiting() && result.is_err();
    let unread = !is_cut && (state.is_body_unread() || !parts.read_buf.is_empty());
    let reply = rejection::reply(&state, &result, &parts.read_buf, &worker.limits);
    parts.io.close(reply, unread).await;
}
