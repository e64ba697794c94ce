//! The layer around the app, which measures its requests.
//!
//! It marks which route holds the thread, counts requests and their durations, adds a
//! `Server-Timing` header to responses, and writes the request log.
//!
//! * `future` and `body`: the handler's future and a streamed response body, poll by poll
//! * `measured_request`: one request through both
//! * `span`: its holds and awaits, as marks of the thread
//! * `headers`, `server_timing`: what it reads from requests and adds to responses

mod body;
mod future;
mod headers;
mod measured_request;
mod server_timing;
mod span;
mod thread_model;

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use http::{Request, Response};
use tower::{Layer, Service};

pub use self::future::ResponseFuture;
use self::measured_request::{MeasuredRequest, Settings};
pub use self::thread_model::ThreadModel;
use super::requests::{Histograms, Requests};
use crate::accounting::Registry;

/// Middleware that measures every request of one server. Has to be applied with
/// [`axum::Router::layer`], so that it sees the route that was matched.
///
/// The defaults are right for an app under `axum::serve` or any other asynchronous server:
///
/// ```
/// use axum::{Router, routing::get};
///
/// let metrics = thread_states::Metrics::new("shop")?;
/// let app: Router = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(metrics.layer().server_timing(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RequestLayer(Settings);

impl RequestLayer {
    pub(super) fn new(histograms: &Histograms, registry: &Registry) -> Self {
        Self(Settings {
            requests: Arc::new(Requests::new(histograms, registry)),
            registry: registry.clone(),
            thread_model: ThreadModel::EventLoop,
            in_flight: Some(Arc::clone(registry.in_flight())),
            server_timing: false,
        })
    }

    /// Sets how the server uses its threads. Default: [`ThreadModel::EventLoop`].
    #[must_use]
    pub fn thread_model(mut self, thread_model: ThreadModel) -> Self {
        self.0.thread_model = thread_model;
        self
    }

    /// Sets whether responses get a `Server-Timing` header (W3C,
    /// <https://www.w3.org/TR/server-timing/>) that breaks down their time, in milliseconds: `queue`
    /// (waited for a thread), `run` (on CPU), `block` (held the thread, off CPU), `await` (waited
    /// without the thread). Responses of threads that are not registered get none.
    ///
    /// Default: off, because it reveals internal timing to clients.
    #[must_use]
    pub fn server_timing(mut self, enabled: bool) -> Self {
        self.0.server_timing = enabled;
        self
    }

    /// Sets whether the layer counts requests in flight, in [`Registry::in_flight`], from its call to
    /// the end of the response. Default: on. Off for servers that count them themselves, e.g. from the
    /// accepted connection on.
    #[must_use]
    pub fn count_in_flight(mut self, enabled: bool) -> Self {
        let in_flight = self.0.registry.in_flight();
        self.0.in_flight = enabled.then(|| Arc::clone(in_flight));
        self
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService {
            inner,
            settings: Arc::new(self.0.clone()),
        }
    }
}

/// Service that [`RequestLayer`] creates.
#[derive(Debug, Clone)]
pub struct RequestService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Service<Request<Body>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let measured = MeasuredRequest::new(&self.settings, &request);
        ResponseFuture::new(self.inner.call(request), measured)
    }
}
