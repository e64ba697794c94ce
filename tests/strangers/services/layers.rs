// An axum service with other middleware on both sides of the layer, which has its routes twice.

mod stalls;

use std::error::Error;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use thread_states::Metrics;
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("service");
    let exporter = metrics.export("127.0.0.1:0")?;
    metrics.run(async {
        let layers = ServiceBuilder::new()
            .layer(CompressionLayer::new())
            .layer(metrics.layer())
            .layer(TraceLayer::new_for_http());
        let inner = Router::new()
            .route("/{kind}", get(stall))
            .layer(metrics.layer());
        let app = Router::new()
            .nest("/stall", inner)
            .route("/victim", get(stalls::victim))
            .layer(layers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        stalls::announce(exporter.address(), listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })?
}

async fn stall(Path(kind): Path<String>) -> String {
    stalls::stall(&kind);
    "a long response ".repeat(100)
}
