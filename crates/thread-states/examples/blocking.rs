//! How a blocking call in an asynchronous server is found: a report calls a library that blocks,
//! and while it does, `/metrics` already says which route has a thread, and that it is of no use
//! to anyone.
//!
//! The server asks itself for its routes, one after the other, and prints what its metrics say in
//! the middle of each answer. It goes on serving then, for a look at the dashboard, in which the
//! panel "which route blocks the threads" shows the same.
//!
//!     cargo run --example blocking

#![allow(clippy::print_stdout, reason = "says what it sees")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use thread_states::Metrics;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{JoinError, spawn_blocking};

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("shop")?;
    let mut builder = Builder::new_multi_thread();
    metrics.instrument(&mut builder);
    let exporter = metrics.export("127.0.0.1:9100")?;
    println!("metrics: http://{exporter}/metrics");
    builder
        .enable_all()
        .build()?
        .block_on(serve(&metrics, exporter))
}

async fn serve(metrics: &Metrics, exporter: SocketAddr) -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/report", get(report))
        .route("/report/mended", get(mended))
        .layer(metrics.layer());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let server = listener.local_addr()?;
    println!("server: http://{server}/");
    thread::spawn(move || look(server, exporter));
    Ok(axum::serve(listener, app).await?)
}

/// The mistake: the worker that polls this can do nothing else for two seconds.
async fn report() -> String {
    query()
}

/// The remedy: the call has a thread of the blocking pool, and the worker is free meanwhile.
async fn mended() -> Result<String, String> {
    let report = spawn_blocking(query).await;
    report.map_err(|error: JoinError| error.to_string())
}

/// A call into a library that knows nothing of event loops: a database's, say.
fn query() -> String {
    thread::sleep(Duration::from_secs(2));
    "a report\n".to_owned()
}

/// Asks for each route, and prints what `/metrics` says of it in the middle of the answer.
fn look(server: SocketAddr, exporter: SocketAddr) {
    for route in ["/report", "/report/mended"] {
        let request = thread::spawn(move || ask(server, route));
        thread::sleep(Duration::from_secs(1));
        println!("\nGET {route}, a second after it began:");
        let metrics = ask(exporter, "/metrics").unwrap_or_else(|error| error.to_string());
        let of_route = format!(r#"http_route="{route}""#);
        let told = metrics
            .lines()
            .filter(|line| line.starts_with("http_route_") && line.contains(&of_route));
        told.for_each(|line| println!("  {line}"));
        drop(request.join());
    }
    println!("\nserves on; Ctrl-C ends it");
}

/// `GET path`; the answer, head and all.
fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
