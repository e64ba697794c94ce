// A tonic server: the routes are the methods.

mod stalls;

use std::error::Error;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use thread_states::Metrics;
use tonic::transport::Server;

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("service");
    let exporter = metrics.export("127.0.0.1:0")?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    metrics.run(async {
        let methods = Router::new()
            .route(
                "/shop.Stall/{kind}",
                get(async |Path(kind): Path<String>| {
                    stalls::stall(&kind);
                }),
            )
            .route("/shop.Victim/Get", get(stalls::victim));
        let server = Server::builder()
            .accept_http1(true)
            .layer(
                metrics
                    .layer()
                    .name_unmatched(|path| path.starts_with("/shop.").then_some(path)),
            )
            .add_routes(methods.into());
        stalls::announce(exporter.address(), free);
        Ok(server.serve(free).await?)
    })?
}
