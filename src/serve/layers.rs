//! The middleware around the app.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::any;
use thread_states::metrics::{RequestLayer, ThreadModel};
use thread_states::{Metrics, Registry};
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::request_id::PropagateRequestIdLayer;

use super::config::ServerConfig;
use super::{abandonment, overload};
use crate::app;
use crate::database::Database;
use crate::flavor::Flavor;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Path at which a server responds to the probes of a front, without being measured.
const HEALTH: &str = "/healthz";

/// Returns the layer that measures the requests of a server.
#[must_use]
pub fn request_layer(flavor: Flavor, metrics: &Metrics) -> RequestLayer {
    let thread_model = match flavor {
        Flavor::Sync => ThreadModel::ThreadPerRequest,
        Flavor::Async => ThreadModel::EventLoop,
    };
    // The gateways count a request in flight already before its head is complete.
    let layer = metrics
        .layer()
        .thread_model(thread_model)
        .count_in_flight(false)
        .request_log(true);
    layer.server_timing(true)
}

/// Copies the request ID, which is kept until the response. As received, it refers to the buffer of 8 KiB into which hyper
/// read the head, and keeps that buffer for as long as the request waits.
fn detach_request_id(mut request: Request) -> Request {
    if let Some(id) = request.headers_mut().get_mut(X_REQUEST_ID)
        && let Ok(copy) = HeaderValue::from_bytes(id.as_bytes())
    {
        *id = copy;
    }
    request
}

/// Returns the app within its layers; a request passes them from the first to the last. Without
/// `requests`, requests are not measured; without `database`, the endpoints below `/database` respond with 501.
pub fn stack(
    flavor: Flavor,
    requests: Option<RequestLayer>,
    database: Option<Database>,
    threads: &Registry,
    config: &ServerConfig,
) -> Router {
    // The threads of the synchronous server are its limit.
    let overload =
        (flavor == Flavor::Async).then(|| overload::layer(threads.clone(), config.max_in_flight));
    let layers = ServiceBuilder::new()
        .option_layer(requests)
        .map_request(detach_request_id)
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(option_layer(overload))
        .layer(abandonment::layer());
    let app = app::router_within(config.body_limit, database, layers);
    // Outside the layers, so that the probes of a front appear in no metric and on no page.
    let app = app.route(HEALTH, any(async || "ok\n"));
    // `with_state` joins handlers and layers here; otherwise axum would do it for every request.
    app.with_state(())
}
