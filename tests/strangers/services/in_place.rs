// An axum service. One of its handlers hands its worker to another thread while it waits.

use std::error::Error;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use thread_states::Metrics;

const WAIT: Duration = Duration::from_millis(600);

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("service");
    let exporter = metrics.export("127.0.0.1:0")?;
    metrics.run(async {
        let app = Router::new()
            .route("/blocking", get(async || thread::sleep(WAIT)))
            .route("/in-place", get(async || tokio::task::block_in_place(|| thread::sleep(WAIT))))
            .route("/", get(async || ()))
            .layer(metrics.layer());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("metrics: http://{}/metrics", exporter.address());
        println!("server: {}", listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })?
}
