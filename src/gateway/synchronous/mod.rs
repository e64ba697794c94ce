//! The synchronous gateway: one connection a thread, and while a request waits, its thread waits.

mod stream;

use std::io;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use hyper::server::conn::http1;
use tokio::runtime::{Builder, Runtime};

use super::exchange::Exchange;
use super::listener::{self, BindError, Bound};
use super::running::{Running, Worker};
use super::service::Connected;
use super::{App, Config, POOL_THREADS, refusal};
use stream::Stream;
use thread_states::{InFlight, Registry, park, unpark};

/// Binds the one socket from which all threads accept.
///
/// # Errors
///
/// If the address cannot be listened on, e.g. because its port is taken.
pub fn bind(config: &Config) -> Result<Bound, BindError> {
    listener::bind(config, 1)
}

/// Starts the threads, named `name-0`, `name-1` and so on, each registered under its index, unless
/// there is no `registry`.
///
/// Timers and `spawn_blocking` work in the app, tokio's sockets do not. A task that the app spawns
/// runs only while its thread serves a connection.
///
/// # Errors
///
/// If the system has no more threads or file descriptors to give; nothing is left running then.
pub fn spawn<A: App>(
    bound: Bound,
    app: A,
    registry: impl Into<Option<Registry>>,
    name: &str,
) -> io::Result<Running> {
    Running::start(bound, registry.into().as_ref(), name, |worker| {
        let runtime = runtime(&worker.name)?;
        let app = app.clone();
        Ok(move || serve(&worker, runtime, &app))
    })
}

/// What a thread drives its one connection with. It waits for timers, never for sockets.
fn runtime(thread: &str) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(POOL_THREADS)
        .thread_name(format!("{thread}-pool"))
        .build()
}

/// The life of a thread: a connection to its end, then the next.
fn serve<A: App>(worker: &Worker, runtime: Runtime, app: &A) {
    let mut engine = worker.limits.engine();
    // hyper would otherwise read on while the app works, to see the client leave, and that read
    // would block the app.
    engine.half_close(true).keep_alive(false);
    while let Some(stream) = accept(worker) {
        let _in_flight = worker.in_flight.as_ref().map(InFlight::enter);
        let connection = serve_connection(&engine, stream, app.clone(), worker);
        if catch_unwind(AssertUnwindSafe(|| runtime.block_on(connection))).is_err() {
            tracing::error!("a panic ended a connection");
        }
    }
    // What the app still has on blocking threads belongs to no request any more.
    runtime.shutdown_background();
}

/// The next connection, or none when the gateway is to end. The only place where a thread is idle.
fn accept(worker: &Worker) -> Option<TcpStream> {
    while !worker.shutdown.is_requested() {
        park();
        let accepted = worker.listener.accept();
        unpark();
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(_) if worker.shutdown.is_requested() => {}
            Err(error) => thread::sleep(listener::pause_after(&error)),
        }
    }
    None
}

/// One connection from its first byte to its close: one request.
async fn serve_connection<A: App>(
    engine: &http1::Builder,
    stream: TcpStream,
    app: A,
    worker: &Worker,
) {
    let exchange = Arc::new(Exchange::default());
    let service = Connected {
        app,
        exchange: Arc::clone(&exchange),
        in_flight: None,
        body_patience: None,
    };
    let stream = Stream::new(stream, Arc::clone(&exchange), worker.limits);
    let mut connection = engine.serve_connection(stream, service);
    let result = (&mut connection).await;
    if let Err(error) = &result {
        tracing::debug!(%error, "connection ended early");
    }
    let parts = connection.into_parts();
    let unread = exchange.is_body_unread() || !parts.read_buf.is_empty();
    let refusal = refusal::owed(&exchange, &result, &worker.limits);
    parts.io.finish(refusal, unread);
}
