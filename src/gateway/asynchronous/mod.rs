//! Asynchronous gateway: each thread runs an event loop, and serves other requests while one waits.

mod stream;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::connection_state::ConnectionState;
use super::listener::{self, BoundGateway};
use super::running::{RunningGateway, Worker};
use super::service::Connected;
use super::{App, GatewayConfig, rejection};
use crate::wire::{self, BindError};
use stream::AsyncStream;
use thread_states::{InFlight, Registry, park, unpark};

/// Binds a socket for each thread, all to one address.
///
/// # Errors
///
/// If the gateway cannot listen on the address, e.g. because its port is taken.
pub fn bind(config: &GatewayConfig) -> Result<BoundGateway, BindError> {
    listener::bind(config, config.threads.get())
}

/// Starts the threads, named `name-0`, `name-1` and so on. Each registers under its index, if there is
/// a `registry`. Threads of their blocking pools are named `name-0-pool` and do not register.
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
    let in_flight = InFlight::of_one_thread;
    RunningGateway::start(bound, registry.into().as_ref(), name, in_flight, |worker| {
        let runtime = runtime(&worker)?;
        let listener = listener(&runtime, &worker)?;
        let app = app.clone();
        Ok(move || serve(worker, runtime, &listener, &app))
    })
}

/// Builds a thread's event loop, which marks the thread as parked while it has nothing to do.
fn runtime(worker: &Worker) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .on_thread_park(park)
        .on_thread_unpark(unpark)
        .max_blocking_threads(worker.pool_threads.get())
        .thread_name(format!("{}-pool", worker.name))
        .build()
}

/// Registers the thread's socket with its event loop.
fn listener(runtime: &Runtime, worker: &Worker) -> io::Result<TcpListener> {
    let listener = worker.listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let _entered = runtime.enter();
    TcpListener::from_std(listener)
}

/// Runs a thread until the shutdown, and then until its last connection has ended: serves all
/// connections at once, each in a task.
fn serve<A: App>(worker: Worker, runtime: Runtime, listener: &TcpListener, app: &A) {
    let http = worker.limits.http();
    let worker = Arc::new(worker);
    runtime.block_on(async {
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(worker.connections));
        while let Some((stream, place)) = accept(&worker, listener, &places).await {
            let is_last = wire::is_last(&stream);
            let connection = serve_connection(
                http.clone(),
                stream,
                app.clone(),
                Arc::clone(&worker),
                place,
            );
            // Boxed: tokio copies what it spawns several times, on the stack of an idle thread, and this future has 2 KB.
            connections.spawn(Box::pin(connection));
            if is_last {
                wait_for_descriptors(&worker).await;
            }
        }
        connections.close();
        connections.wait().await;
    });
    // Calls that still run on blocking threads belong to requests that have ended.
    runtime.shutdown_background();
}

/// Waits until file descriptors are no longer scarce, or for a shutdown.
async fn wait_for_descriptors(worker: &Worker) {
    while !worker.shutdown.is_cancelled()
        && let Some(delay) = wire::scarcity(&worker.listener)
    {
        tokio::time::sleep(delay).await;
    }
}

/// Returns the next connection once there is a place for it, or `None` after a shutdown.
async fn accept(
    worker: &Worker,
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned();
    let place = worker.shutdown.run_until_cancelled(place).await?.ok()?;
    while !worker.shutdown.is_cancelled() {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, place)),
            // The shutdown ended listening, and so the call.
            Err(_) if worker.shutdown.is_cancelled() => {}
            Err(error) => tokio::time::sleep(wire::backoff(&error)).await,
        }
    }
    None
}

/// Serves a connection from its first byte to its close: any number of requests. After a shutdown
/// it ends with the request in flight, or at once if no whole head has arrived. The connection has its
/// place among those that are allowed until then.
async fn serve_connection<A: App>(
    http: http1::Builder,
    stream: TcpStream,
    app: A,
    worker: Arc<Worker>,
    _place: OwnedSemaphorePermit,
) {
    let state = Arc::new(ConnectionState::counted_by(
        worker.in_flight.clone(),
        worker.shutdown.flag(),
    ));
    let service = Connected {
        app: RefCell::new(app),
        state: Arc::clone(&state),
        client: None,
        body_timeout: Some(worker.limits.read_timeout),
    };
    let stream = AsyncStream::new(
        stream,
        Arc::clone(&state),
        worker.limits,
        worker.large_heads.clone(),
    );
    let mut connection = http.serve_connection(stream, service);
    // hyper-util's `GracefulShutdown` does the same, but consumes the connection, whose parts are
    // needed to close it.
    let result = tokio::select! {
        biased;
        result = &mut connection => Some(result),
        // Boxed: each connection has room for the largest of its futures from its beginning.
        () = worker.shutdown.cancelled() => {
            let shut_down = http1::Connection::graceful_shutdown;
            Box::pin(wire::finish(&mut connection, shut_down, || state.is_waiting())).await
        }
    };
    let is_cut = result.is_none();
    let result = result.unwrap_or(Ok(()));
    if let Err(error) = &result {
        tracing::debug!(%error, "connection ended early");
    }
    let parts = connection.into_parts();
    let unread = !is_cut && (state.is_body_unread() || !parts.read_buf.is_empty());
    let reply = rejection::reply(&state, &result, &parts.read_buf, &worker.limits);
    parts.io.close(reply, unread).await;
}
