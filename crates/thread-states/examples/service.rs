//! A plain axum server on tokio's multi-thread runtime. Lines 1 to 3 account its threads, line 4
//! serves the metrics on a port and a thread of their own.
//!
//!     cargo run --example service
//!     curl http://127.0.0.1:3000/wait & curl http://127.0.0.1:9100/metrics

#![allow(clippy::print_stdout, reason = "prints the addresses")]

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use thread_states::Metrics;
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("shop"); // 1: the name of the server
    let exporter = metrics.export("127.0.0.1:9100")?; // 4: serve the metrics
    println!("metrics: http://{}/metrics", exporter.address());
    metrics.run(serve(&metrics))? // 2: a runtime whose worker threads are accounted
}

async fn serve(metrics: &Metrics) -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/wait", get(wait))
        .layer(metrics.layer()); // 3: measure requests and routes
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("server: http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

async fn wait() -> &'static str {
    tokio::time::sleep(Duration::from_secs(5)).await;
    "awaited a timer\n"
}
