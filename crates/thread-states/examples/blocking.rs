//! Finds a blocking call in an asynchronous server. A handler calls a library that blocks; while it
//! does, `/metrics` already names the route that occupies the thread, and shows that the thread is
//! blocked.
//!
//! The server requests its own routes, one after the other, and prints the metrics of each in the
//! middle of the response. After that it keeps serving, so that you can look at the dashboard: the
//! panel "threads blocked, by route" shows the same.
//!
//!     cargo run --example blocking

#![allow(clippy::print_stdout, reason = "prints what it measures")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use thread_states::Metrics;
use tokio::net::TcpListener;
use tokio::task::{JoinError, spawn_blocking};

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("shop");
    let exporter = metrics.export("127.0.0.1:9100")?;
    println!("metrics: http://{}/metrics", exporter.address());
    metrics.run(serve(&metrics, exporter.address()))?
}

async fn serve(metrics: &Metrics, exporter: SocketAddr) -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/report", get(report))
        .route("/report/offloaded", get(offloaded))
        .layer(metrics.layer());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let server = listener.local_addr()?;
    println!("server: http://{server}/");
    thread::spawn(move || measure(server, exporter));
    Ok(axum::serve(listener, app).await?)
}

/// The mistake: the worker thread that polls this future can do nothing else for two seconds.
async fn report() -> String {
    query()
}

/// The fix: the call runs on a thread of the blocking pool, and the worker thread stays free.
async fn offloaded() -> Result<String, String> {
    let report = spawn_blocking(query).await;
    report.map_err(|error: JoinError| error.to_string())
}

/// Stands for a call into a blocking library, such as a synchronous database client.
fn query() -> String {
    thread::sleep(Duration::from_secs(2));
    "a report\n".to_owned()
}

/// Requests each route, and prints its counters one second later, before the response is complete.
fn measure(server: SocketAddr, exporter: SocketAddr) {
    for route in ["/report", "/report/offloaded"] {
        let request = thread::spawn(move || get_text(server, route));
        thread::sleep(Duration::from_secs(1));
        println!("\nGET {route}, after 1 s:");
        let metrics = get_text(exporter, "/metrics").unwrap_or_else(|error| error.to_string());
        let label = format!(r#"http_route="{route}""#);
        // Not the histogram of holds: a hold counts at its end.
        let samples = metrics.lines().filter(|line| {
            line.starts_with("http_route_") && line.contains("_total{") && line.contains(&label)
        });
        samples.for_each(|line| println!("  {line}"));
        drop(request.join());
    }
    println!("\nstill serving; press Ctrl-C to stop");
}

/// Sends `GET path` and returns the response with its head.
fn get_text(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}
