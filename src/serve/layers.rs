//! The middleware around the app.
//!
//! Its services and futures are inlined always, as are those of the gateways, the app and the request layer: as a
//! function of its own, each would copy the request, the response and the future within it, of some hundred bytes.

use axum::body::Body;
use thread_states::metrics::{RequestLayer, ThreadModel};
use thread_states::{Metrics, Registry, RequestsInFlight};
use tower::ServiceBuilder;

use super::config::ServerConfig;
use super::{abandonment, health, overload, request_id};
use crate::app;
use crate::database::Database;
use crate::flavor::Flavor;
use crate::gateway::App;

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
        // It is around the router, and so before the match.
        .name_unmatched(app::route)
        .request_log(true);
    layer.server_timing(true)
}

/// Returns the app within its layers; a request passes them from the first to the last. Without `database`, the
/// endpoints below `/database` respond with 501.
pub fn stack(
    flavor: Flavor,
    requests: RequestLayer,
    database: Option<Database>,
    threads: &Registry,
    config: &ServerConfig,
) -> impl App<Body = Body> + Sync {
    ServiceBuilder::new()
        // Outside the others, so that the probes of a front appear in no metric and on no page.
        .layer(health::layer())
        .layer(requests)
        .service(unmeasured_stack(flavor, database, threads, config))
}

/// Returns the app within the layers that do not measure it.
pub fn unmeasured_stack(
    flavor: Flavor,
    database: Option<Database>,
    threads: &Registry,
    config: &ServerConfig,
) -> impl App<Body = Body> + Sync {
    // The threads of the synchronous server are its limit.
    let limit = match flavor {
        Flavor::Sync => None,
        Flavor::Async => Some((RequestsInFlight::new(threads.clone()), config.max_in_flight)),
    };
    ServiceBuilder::new()
        .layer(request_id::layer())
        .layer(overload::layer(limit))
        .layer(abandonment::layer())
        .service(app::service(config.body_limit, database))
}
