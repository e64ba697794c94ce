// A service with a registry of its own, in which a metric has the name of one of ours.

mod stalls;

use std::error::Error;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use prometheus::{HistogramVec, Registry, TextEncoder, histogram_opts};
use thread_states::Metrics;
use thread_states::metrics::Exposition;
use thread_states::metrics::list::REQUEST_DURATION;

fn main() -> Result<(), Box<dyn Error>> {
    let own = histogram_opts!("http_server_request_duration_seconds", "the service's own");
    let own = HistogramVec::new(own, &["path"])?;
    let registry = Registry::new();
    registry.register(Box::new(own.clone()))?;
    let metrics = Metrics::builder(thread_states::Registry::new("service", []))
        .without(REQUEST_DURATION)
        .build();
    // Into the same registry, which is served from a thread of its own.
    registry.register(Box::new(metrics.clone()))?;
    let page = move || {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap_or_default()
    };
    let exporter = Exposition::new([])?.append(page).export("127.0.0.1:0")?;
    metrics.run(async {
        let stall = async move |Path(kind): Path<String>| {
            let _timer = own.with_label_values(&[&kind]).start_timer();
            stalls::stall(&kind);
        };
        let app = Router::new()
            .route("/stall/{kind}", get(stall))
            .route("/victim", get(stalls::victim))
            .layer(metrics.layer());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        stalls::announce(exporter.address(), listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })?
}
