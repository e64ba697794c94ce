//! The middleware around the app.

use axum::Router;
use axum::routing::any;
use thread_states::metrics::{RequestLayer, ThreadModel};
use thread_states::{Metrics, Registry};
use tower::ServiceBuilder;
use tower::util::option_layer;

use super::config::ServerConfig;
use super::{abandonment, overload, request_id};
use crate::app;
use crate::database::Database;
use crate::flavor::Flavor;

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
        .layer(request_id::layer())
        .layer(option_layer(overload))
        .layer(abandonment::layer());
    let app = app::router_within(config.body_limit, database, layers);
    // Outside the layers, so that the probes of a front appear in no metric and on no page.
    let app = app.route(HEALTH, any(async || "ok\n"));
    // `with_state` joins handlers and layers here; otherwise axum would do it for every request.
    app.with_state(())
}
