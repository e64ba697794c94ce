//! The servers under test: the gateways with more or less accounting, and other servers. Each serves `GET /dummy` with
//! one thread.

use std::convert::Infallible;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Json, Router, ServiceExt as _};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::net::SendFlags;
use serde::Serialize;
use thread_states::Metrics;
use thread_states::Registry;
use threadlab::flavor::Flavor;
use threadlab::gateway::{App, RunningGateway, asynchronous, synchronous};
use threadlab::serve::ServerConfig;
use threadlab::{app, gateway, serve};
use tokio::runtime::Builder;

use crate::cpu::{Cpus, Thread};
use crate::load::Connections;

const MESSAGE: &str = "nothing to wait for";

/// A running server. It runs until the process ends.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    threads: Vec<Thread>,
}

impl Server {
    /// Gives its threads the lowest priority.
    pub(crate) fn give_way(&self) -> io::Result<()> {
        self.threads.iter().try_for_each(Thread::give_way)
    }

    /// CPU time of its threads as of their last switches off the CPU.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        self.threads.iter().map(Thread::cpu_time).sum()
    }
}

/// The amount of accounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accounting {
    Off,
    /// The thread states.
    States,
    /// The thread states and the requests: durations, routes, `Server-Timing`, the request log.
    Requests,
}

/// The lab's own server, as `threadlab serve` runs it, with this amount of accounting. The synchronous one keeps
/// connections only if they are kept.
pub(crate) fn gateway(
    flavor: Flavor,
    connections: Connections,
    accounting: Accounting,
    cpus: &Cpus,
) -> anyhow::Result<Server> {
    let name = match accounting {
        Accounting::Off => "gateway, accounting off",
        Accounting::States => "gateway, states",
        Accounting::Requests => "gateway, states and requests",
    };
    let routes = app::ROUTES.iter().map(|route| (*route).to_owned());
    let registry = Registry::new(flavor.as_str(), routes);
    let metrics = Metrics::of(registry.clone());
    let settings = ServerConfig::default();
    let accounted = (accounting != Accounting::Off).then(|| registry.clone());
    let (thread, running) = if accounting == Accounting::Requests {
        let requests = serve::request_layer(flavor, &metrics);
        let app = serve::stack(flavor, requests, None, &registry, &settings);
        start(flavor, connections, app, accounted)?
    } else {
        let app = serve::unmeasured_stack(flavor, None, &registry, &settings);
        start(flavor, connections, app, accounted)?
    };
    Ok(Server {
        name,
        address: running.local_addr(),
        threads: vec![Thread::pinned(&format!("{thread}-0"), cpus)?],
    })
}

/// Starts a gateway, and returns the name of its threads.
fn start(
    flavor: Flavor,
    connections: Connections,
    app: impl App,
    registry: Option<Registry>,
) -> anyhow::Result<(String, RunningGateway)> {
    let mut config = gateway::GatewayConfig::new(([127, 0, 0, 1], 0).into());
    config.keep_alive = connections == Connections::Kept;
    let name = unique_name();
    let running = match flavor {
        Flavor::Sync => synchronous::spawn(synchronous::bind(&config)?, app, registry, &name),
        Flavor::Async => asynchronous::spawn(asynchronous::bind(&config)?, app, registry, &name),
    };
    Ok((name, running?))
}

/// The lab's app, without the layers that `serve` adds, under axum's own server.
pub(crate) fn axum_with_the_app(cpus: &Cpus) -> anyhow::Result<Server> {
    let app = app::service(app::BodyLimit::default(), None);
    on_an_event_loop("axum::serve, the same app", cpus, |listener| async {
        // It never returns.
        let _ = axum::serve(listener, app.into_make_service()).await;
    })
}

/// An app with one route, under axum's own server.
pub(crate) fn axum_with_one_route(cpus: &Cpus) -> anyhow::Result<Server> {
    on_an_event_loop("axum::serve, an app of one route", cpus, |listener| async {
        // It never returns.
        let _ = axum::serve(listener, one_route()).await;
    })
}

/// An app with one route: no parameters, no limits, no error format.
pub(crate) fn one_route() -> Router {
    Router::new().route("/dummy", get(async || Json(Message { message: MESSAGE })))
}

#[derive(Debug, Serialize)]
struct Message {
    message: &'static str,
}

/// hyper's HTTP/1 server, with a function as the app.
pub(crate) fn hyper(cpus: &Cpus) -> anyhow::Result<Server> {
    on_an_event_loop("hyper, a function", cpus, |listener| async move {
        let respond = async |_| -> Result<_, Infallible> {
            let body = format!(r#"{{"message":"{MESSAGE}"}}"#);
            let mut response = Response::new(Full::<Bytes>::from(body));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            Ok(response)
        };
        while let Ok((stream, _)) = listener.accept().await {
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond));
            tokio::spawn(connection);
        }
    })
}

/// Serves on a current-thread runtime, on a thread of its own.
fn on_an_event_loop<F: Future<Output = ()>>(
    name: &'static str,
    cpus: &Cpus,
    serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> anyhow::Result<Server> {
    on_runtime(name, &mut Builder::new_current_thread(), cpus, serve)
}

/// Serves on the runtime that this builder builds, on a thread of its own.
pub(crate) fn on_runtime<F: Future<Output = ()>>(
    name: &'static str,
    builder: &mut Builder,
    cpus: &Cpus,
    serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> anyhow::Result<Server> {
    let runtime = builder.enable_all().build()?;
    on_a_thread(name, cpus, move |listener| {
        runtime.block_on(async {
            listener.set_nonblocking(true)?;
            serve(tokio::net::TcpListener::from_std(listener)?).await;
            Ok(())
        })
    })
}

/// Serves on a runtime with one worker thread, as many as tokio starts on one CPU. Another thread only accepts.
pub(crate) fn on_a_worker<F: Future<Output = ()>>(
    name: &'static str,
    builder: &mut Builder,
    cpus: &Cpus,
    serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> anyhow::Result<Server> {
    let worker = unique_name();
    let mut server = on_runtime(
        name,
        builder.worker_threads(1).thread_name(&worker),
        cpus,
        serve,
    )?;
    server.threads.push(Thread::pinned(&worker, cpus)?);
    Ok(server)
}

/// The minimal server: accept, read, write and close, without parsing the request.
pub(crate) fn blocking_loop(cpus: &Cpus) -> anyhow::Result<Server> {
    let name = "a loop of accept, read, write, close";
    loop_with(name, SendFlags::empty(), cpus)
}

/// The same with one packet less, as the synchronous gateway does it: the response waits for the close, and is sent with
/// its FIN.
pub(crate) fn corked_loop(cpus: &Cpus) -> anyhow::Result<Server> {
    let name = "the same, with one packet for response and FIN";
    loop_with(name, SendFlags::MORE, cpus)
}

fn loop_with(name: &'static str, flags: SendFlags, cpus: &Cpus) -> anyhow::Result<Server> {
    on_a_thread(name, cpus, move |listener| {
        loop {
            let (stream, _) = listener.accept()?;
            // A broken connection ends that connection only.
            let _ = respond(stream, flags);
        }
    })
}

fn respond(mut stream: TcpStream, flags: SendFlags) -> io::Result<()> {
    let mut head = [0; 2048];
    let _ = stream.read(&mut head)?;
    let body = format!(r#"{{"message":"{MESSAGE}"}}"#);
    let length = body.len();
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    // An empty socket takes as little as this whole.
    rustix::net::send(&stream, response.as_bytes(), flags | SendFlags::NOSIGNAL)?;
    Ok(())
}

fn on_a_thread(
    name: &'static str,
    cpus: &Cpus,
    serve: impl FnOnce(TcpListener) -> io::Result<()> + Send + 'static,
) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let thread = unique_name();
    thread::Builder::new()
        .name(thread.clone())
        .spawn(move || serve(listener))
        .with_context(|| format!("{name} cannot be started"))?;
    let thread = Thread::pinned(&thread, cpus)?;
    Ok(Server {
        name,
        address,
        threads: vec![thread],
    })
}

/// A thread name to find the thread by, of at most 13 bytes: the kernel keeps 15, and a gateway appends `-0`.
fn unique_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("server-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
