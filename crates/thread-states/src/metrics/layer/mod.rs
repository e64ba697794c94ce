//! The layer around the app, which measures its requests.
//!
//! It marks which route holds the thread, counts requests and their durations, adds a
//! `Server-Timing` header to responses, and writes the request log.
//!
//! * `future` and `body`: the handler's future and a streamed response body, poll by poll
//! * `measured_request`: one request through both
//! * `span`: its holds and waits, as marks of the thread
//! * `wake`: the time at which it was woken, between the two
//! * `measured`: other work, measured in the same way
//! * `nesting`: a layer within the same layer
//! * `headers`, `queue_time`: what it reads from requests
//! * `server_timing`: what it adds to responses
//!
//! The service and its future are inlined always: otherwise each would copy the request, the response and the future
//! within it, of some hundred bytes.

mod body;
mod future;
mod headers;
mod measured;
mod measured_request;
mod nesting;
mod queue_time;
mod server_timing;
mod span;
mod thread_model;
mod wake;

use std::sync::Arc;
use std::task::{Context, Poll};

use axum_core::BoxError;
use axum_core::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

pub use self::future::ResponseFuture;
pub use self::measured::Measured;
use self::measured_request::{MeasuredRequest, Settings, UnmatchedNames};
pub use self::thread_model::ThreadModel;
use super::requests::{RequestHistograms, Requests};
use crate::accounting::Registry;

/// Middleware that measures every request of one server, of any [`Service`] of HTTP requests, whatever
/// their bodies. Its responses have the [`Body`] of axum-core.
///
/// On an axum router it has to be applied with `Router::layer`, so that it sees the route that was matched, and
/// after the routes: those that are added later are not measured. The requests of other services have the route
/// `unmatched`, as have those of axum's fallbacks and of services in `nest_service`, unless
/// [`Self::name_unmatched`] names them. Middleware may be inside and outside of it:
///
/// ```
/// use axum::{Router, routing::get};
/// use tower::ServiceBuilder;
/// use tower_http::{compression::CompressionLayer, trace::TraceLayer};
///
/// let metrics = thread_states::Metrics::new("shop");
/// let layers = ServiceBuilder::new()
///     .layer(CompressionLayer::new())
///     .layer(metrics.layer())
///     .layer(TraceLayer::new_for_http());
/// let app: Router = Router::new().route("/", get(async || "hello")).layer(layers);
/// ```
///
/// An error of the service counts as status 500, whatever response middleware outside of the layer makes of it.
///
/// Applied twice, it counts a request once: the outer one does, unless other code moves the request to
/// another task in between.
///
/// The defaults are right for an app under `axum::serve` or any other asynchronous server:
///
/// ```
/// use axum::{Router, routing::get};
///
/// let metrics = thread_states::Metrics::new("shop");
/// let app: Router = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(metrics.layer().server_timing(true));
/// ```
#[derive(Debug, Clone)]
pub struct RequestLayer(Arc<Settings>);

impl RequestLayer {
    pub(super) fn new(histograms: &RequestHistograms, registry: &Registry) -> Self {
        Self(Arc::new(Settings {
            requests: Arc::new(Requests::new(histograms, registry)),
            registry: registry.clone(),
            thread_model: ThreadModel::EventLoop,
            in_flight: Some(Arc::clone(registry.in_flight())),
            server_timing: false,
            request_log: false,
            name_unmatched: None,
        }))
    }

    /// Sets how the server uses its threads. Default: [`ThreadModel::EventLoop`].
    #[must_use]
    pub fn thread_model(mut self, thread_model: ThreadModel) -> Self {
        self.settings().thread_model = thread_model;
        self
    }

    /// Sets whether responses get a `Server-Timing` header (W3C,
    /// <https://www.w3.org/TR/server-timing/>) that breaks down their time, in milliseconds: `queue`
    /// (waited for a thread), `run` (on CPU), `runnable` (held the thread, waited for a CPU), `block`
    /// (held the thread, off CPU), `await` (waited without the thread, for something else), `ready`
    /// (waited for a thread after that; only for requests that awaited). They sum to the time from
    /// arrival to the response's head. Responses of threads that are not registered get none.
    ///
    /// Default: off, because it reveals internal timing to clients.
    #[must_use]
    pub fn server_timing(mut self, enabled: bool) -> Self {
        self.settings().server_timing = enabled;
        self
    }

    /// Sets names for requests that match no route of an axum router: those of its fallbacks, of services in
    /// `nest_service`, and of servers without a router. `name` gets the path of the request; without a name the
    /// request counts as `unmatched`.
    ///
    /// It should return few names, whatever clients request: after 128 routes, all others share `other`.
    ///
    /// ```
    /// # let metrics = thread_states::Metrics::new("shop");
    /// // gRPC methods, which are paths:
    /// let grpc = metrics.layer().name_unmatched(|path| path.starts_with("/shop.").then_some(path));
    /// // Files below `/assets`:
    /// let files = metrics.layer().name_unmatched(|path| {
    ///     path.starts_with("/assets/").then_some("/assets/{*file}")
    /// });
    /// ```
    #[must_use]
    pub fn name_unmatched<F>(mut self, name: F) -> Self
    where
        F: Fn(&str) -> Option<&str> + Send + Sync + 'static,
    {
        self.settings().name_unmatched = Some(UnmatchedNames(Arc::new(name)));
        self
    }

    /// Sets whether requests are written into [`Registry::request_log`], from which the lab's live page draws
    /// them. Default: off.
    #[must_use]
    pub fn request_log(mut self, enabled: bool) -> Self {
        self.settings().request_log = enabled;
        self
    }

    /// Sets whether the layer counts requests in flight, in [`Registry::in_flight`], from their first poll
    /// to the end of the response. Default: on. Off for servers that count them themselves, e.g. from the
    /// accepted connection on.
    #[must_use]
    pub fn count_in_flight(mut self, enabled: bool) -> Self {
        let settings = self.settings();
        let in_flight = settings.registry.in_flight();
        settings.in_flight = enabled.then(|| Arc::clone(in_flight));
        self
    }

    fn settings(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.0)
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService {
            inner,
            // Not copied: a router without its state applies its layers at each request.
            settings: Arc::clone(&self.0),
        }
    }
}

/// Service that [`RequestLayer`] creates.
#[derive(Debug, Clone)]
pub struct RequestService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, Req, Res> Service<Request<Req>> for RequestService<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    Res: http_body::Body<Data = Bytes> + Send + 'static,
    Res::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let registry = &self.settings.registry;
        if nesting::is_within(registry) {
            return ResponseFuture::new(self.inner.call(request), None);
        }
        let measured = MeasuredRequest::new(&self.settings, &request);
        let response = nesting::within(registry, || self.inner.call(request));
        ResponseFuture::new(response, Some(measured))
    }
}
