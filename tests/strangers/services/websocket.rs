// A websocket: each message is work with a name of its own.

mod stalls;

use std::error::Error;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use thread_states::Metrics;

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("service");
    let exporter = metrics.export("127.0.0.1:0")?;
    metrics.run(async {
        let of_sockets = metrics.clone();
        let upgrade = async move |upgrade: WebSocketUpgrade| -> Response {
            upgrade.on_upgrade(move |socket| serve(socket, of_sockets.clone()))
        };
        let app = Router::new()
            .route("/socket", get(upgrade))
            .layer(metrics.layer());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        stalls::announce(exporter.address(), listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })?
}

async fn serve(mut socket: WebSocket, metrics: Metrics) {
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let name = if text == "victim" { "victim" } else { "stall" };
        let work = async {
            if stalls::stall(&text).is_none() {
                stalls::victim().await;
            }
        };
        metrics.measure(name, work).await;
        if socket.send(Message::Text("done".into())).await.is_err() {
            return;
        }
    }
}
