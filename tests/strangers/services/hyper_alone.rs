// A service on hyper, without a router: the layer gets the names of its routes from a function.

mod stalls;

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use thread_states::Metrics;
use tower::{ServiceBuilder, service_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("service");
    let exporter = metrics.export("127.0.0.1:0")?;
    metrics.run(async {
        let layer = metrics.layer().name_unmatched(|path| match path {
            "/victim" => Some("/victim"),
            _ => path.starts_with("/stall/").then_some("/stall/{kind}"),
        });
        let service = ServiceBuilder::new()
            .layer(layer)
            .service(service_fn(respond));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        stalls::announce(exporter.address(), listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })?
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path().strip_prefix("/stall/") {
        Some(kind) => {
            stalls::stall(kind);
        }
        None => stalls::victim().await,
    }
    Ok(Response::new(Full::from("done")))
}
