//! A service as others write it, under axum's own server, with and without the library.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use axum::routing::get;
use thread_states::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::cpu::Cpus;
use crate::server::{self, Accounting, Server};

/// Runtime of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    CurrentThread,
    /// That of `#[tokio::main]` and of `Metrics::run`, with the one worker thread that it has on one CPU.
    MultiThread,
}

/// Starts a service with this amount of accounting.
pub(crate) fn start(
    app: Router,
    runtime: Runtime,
    accounting: Accounting,
    cpus: &Cpus,
) -> anyhow::Result<Server> {
    let name = match accounting {
        Accounting::Off => "without the library",
        Accounting::States => "states",
        Accounting::Requests => "states and requests",
    };
    let metrics = Metrics::new(name);
    let app = match accounting {
        Accounting::Requests => app.layer(metrics.layer()),
        Accounting::Off | Accounting::States => app,
    };
    let mut builder = match runtime {
        Runtime::CurrentThread => Builder::new_current_thread(),
        Runtime::MultiThread => Builder::new_multi_thread(),
    };
    if accounting != Accounting::Off {
        metrics.instrument(&mut builder);
    }
    let serve = |listener| async move {
        // It never returns.
        let _ = axum::serve(listener, app).await;
    };
    match runtime {
        Runtime::CurrentThread => server::on_runtime(name, &mut builder, cpus, serve),
        Runtime::MultiThread => server::on_a_worker(name, &mut builder, cpus, serve),
    }
}

/// Returns the app of `docs/in-your-service.md`, which has the benchmark's path in place of `/`.
pub(crate) fn app_of_the_docs() -> Router {
    let wait = async || {
        tokio::time::sleep(Duration::from_secs(5)).await;
        "awaited a timer\n"
    };
    Router::new()
        .route("/dummy", get(async || "hello\n"))
        .route("/wait", get(wait))
}

/// Returns an app whose requests send a few bytes to a server on another CPU, and await the same bytes.
pub(crate) fn short_query() -> anyhow::Result<Router> {
    let database = Arc::new(Database::start()?);
    let query = async move || database.query().await.unwrap_or_default();
    Ok(Router::new().route("/dummy", get(query)))
}

/// Bytes of a query, and of its response.
const BYTES: usize = 64;

/// A server that returns each query, and the connections to it that are not in use.
#[derive(Debug)]
struct Database {
    address: SocketAddr,
    idle: Mutex<Vec<TcpStream>>,
}

impl Database {
    /// Starts it on a thread of its own, which has the CPU of the load generator.
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("database".into())
            .spawn(move || runtime.block_on(serve(listener)))?;
        Ok(Self {
            address,
            idle: Mutex::default(),
        })
    }

    async fn query(&self) -> io::Result<String> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => TcpStream::connect(self.address).await?,
        };
        let mut row = [b'x'; BYTES];
        connection.write_all(&row).await?;
        connection.read_exact(&mut row).await?;
        idle().push(connection);
        Ok(String::from_utf8_lossy(&row).into_owned())
    }
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut row = [0; BYTES];
            while stream.read_exact(&mut row).await.is_ok() {
                if stream.write_all(&row).await.is_err() {
                    return;
                }
            }
        });
    }
}
