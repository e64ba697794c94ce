//! The asynchronous gateway: an event loop a thread, and while a request waits, its thread serves
//! others.

mod stream;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use hyper::server::conn::http1::{self, Connection};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::exchange::Exchange;
use super::listener::{self, BindError, Bound};
use super::running::{Running, Worker};
use super::service::Connected;
use super::shutdown::Shutdown;
use super::{App, Config, POOL_THREADS, refusal};
use stream::Stream;
use thread_states::{Registry, park, unpark};

/// Binds a socket for each thread, all to the one address.
///
/// # Errors
///
/// If the address cannot be listened on, e.g. because its port is taken.
pub fn bind(config: &Config) -> Result<Bound, BindError> {
    listener::bind(config, config.threads.get())
}

/// Starts the threads, named `name-0`, `name-1` and so on, each registered under its index, unless
/// there is no `registry`. Threads of their blocking pools are named `name-0-pool` and are not
/// registered.
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
        let listener = listener(&runtime, &worker)?;
        let app = app.clone();
        Ok(move || serve(worker, runtime, &listener, &app))
    })
}

/// A thread's event loop. It parks where it has nothing to do but wait.
fn runtime(thread: &str) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .on_thread_park(park)
        .on_thread_unpark(unpark)
        .max_blocking_threads(POOL_THREADS)
        .thread_name(format!("{thread}-pool"))
        .build()
}

/// The thread's socket, watched by the event loop.
fn listener(runtime: &Runtime, worker: &Worker) -> io::Result<TcpListener> {
    let listener = worker.listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let _entered = runtime.enter();
    TcpListener::from_std(listener)
}

/// The life of a thread: all connections at once, each a task, until the last has ended.
fn serve<A: App>(worker: Worker, runtime: Runtime, listener: &TcpListener, app: &A) {
    let engine = worker.limits.engine();
    let worker = Arc::new(worker);
    runtime.block_on(async {
        let (alive, mut ended) = mpsc::channel::<Infallible>(1);
        while let Some(stream) = accept(&worker, listener).await {
            let connection =
                serve_connection(engine.clone(), stream, app.clone(), Arc::clone(&worker));
            let alive = alive.clone();
            tokio::spawn(async move {
                connection.await;
                drop(alive);
            });
        }
        drop(alive);
        ended.recv().await;
    });
    // What the app still has on blocking threads belongs to no request any more.
    runtime.shutdown_background();
}

/// The next connection, or none when the gateway is to end.
async fn accept(worker: &Worker, listener: &TcpListener) -> Option<TcpStream> {
    while !worker.shutdown.is_requested() {
        match listener.accept().await {
            Ok((stream, _)) => return Some(stream),
            Err(_) if worker.shutdown.is_requested() => {}
            Err(error) => tokio::time::sleep(listener::pause_after(&error)).await,
        }
    }
    None
}

/// One connection from its first byte to its close: as many requests as come.
async fn serve_connection<A: App>(
    engine: http1::Builder,
    stream: TcpStream,
    app: A,
    worker: Arc<Worker>,
) {
    let exchange = Arc::new(Exchange::default());
    let service = Connected {
        app,
        exchange: Arc::clone(&exchange),
        in_flight: worker.in_flight.clone(),
        body_patience: Some(worker.limits.read_timeout),
    };
    let stream = Stream::new(stream, Arc::clone(&exchange), worker.limits);
    let mut connection = engine.serve_connection(stream, service);
    let result = drive(&mut connection, &worker.shutdown).await;
    if let Err(error) = &result {
        tracing::debug!(%error, "connection ended early");
    }
    let parts = connection.into_parts();
    let unread = exchange.is_body_unread() || !parts.read_buf.is_empty();
    let refusal = refusal::owed(&exchange, &result, &worker.limits);
    parts.io.finish(refusal, unread).await;
}

/// Drives a connection to its end. When the gateway is to end, that is after the request in flight.
async fn drive<A: App>(
    connection: &mut Connection<Stream, Connected<A>>,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let mut requested = pin!(shutdown.requested());
    let mut listens = false;
    let mut ending = false;
    poll_fn(|cx| {
        let mut connection = Pin::new(&mut *connection);
        if !listens {
            listens = true;
            // Once is enough, for the task to be woken. To poll it each time would take a lock that
            // all threads share.
            let _ = requested.as_mut().poll(cx);
        }
        if !ending && shutdown.is_requested() {
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.poll(cx)
    })
    .await
}
