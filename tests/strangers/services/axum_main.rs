// An axum service that had `#[tokio::main]`.

mod stalls;

use std::error::Error;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use thread_states::Metrics;

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("service");
    let exporter = metrics.export("127.0.0.1:0")?;
    metrics.run(async {
        let app = Router::new()
            .route("/stall/{kind}", get(stall))
            .route("/victim", get(stalls::victim))
            .layer(metrics.layer());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        stalls::announce(exporter.address(), listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })?
}

async fn stall(Path(kind): Path<String>) {
    stalls::stall(&kind);
}
