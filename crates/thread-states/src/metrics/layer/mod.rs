//! The layer around the app: which route holds the thread, how long requests took, the
//! `Server-Timing` header that says so to the client, and the journal that says so to people who
//! watch.

mod body;
mod future;
mod span;
mod timing;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::MatchedPath;
use http::{HeaderMap, HeaderName, Method, Request, Response};
use tower::{Layer, Service};

pub use self::future::ResponseFuture;
use self::span::Span;
use super::list::UNMATCHED;
use super::requests::{Histograms, Requests};
use crate::accounting::{self, Entry, InFlight, InFlightGuard, Registry};

/// When the request came to the front.
const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request does with its thread while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It keeps it: the synchronous gateway. The route holds the thread from the handler's start
    /// to the answer's end.
    WithThread,
    /// It leaves it to others: the asynchronous gateway. The route holds the thread only while
    /// its future is polled.
    WithoutThread,
}

/// Measures every request of one server. To be applied with [`axum::Router::layer`], so that it
/// sees the route that was matched.
///
/// As it is made, it is right for an app under `axum::serve` or any other asynchronous server:
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
pub struct RequestLayer(Measures);

#[derive(Debug, Clone)]
struct Measures {
    requests: Arc<Requests>,
    registry: Registry,
    waits: Waits,
    /// `None` if the requests are counted elsewhere.
    in_flight: Option<Arc<InFlight>>,
    server_timing: bool,
}

impl RequestLayer {
    pub(super) fn new(histograms: &Histograms, registry: &Registry) -> Self {
        Self(Measures {
            requests: Arc::new(Requests::new(histograms, registry)),
            registry: registry.clone(),
            waits: Waits::WithoutThread,
            in_flight: Some(Arc::clone(registry.in_flight())),
            server_timing: false,
        })
    }

    /// What a request does with its thread while it waits. Default: [`Waits::WithoutThread`].
    #[must_use]
    pub fn waits(mut self, waits: Waits) -> Self {
        self.0.waits = waits;
        self
    }

    /// Whether each answer tells its client where its time went, in a `Server-Timing` header
    /// (W3C, <https://www.w3.org/TR/server-timing/>), in milliseconds: `queue` (waited for a
    /// thread), `run` (on CPU), `block` (held the thread, off CPU), `await` (waited without the
    /// thread). Default: no, since a client may learn from it what is none of its business. A
    /// thread that is not registered tells nothing.
    #[must_use]
    pub fn server_timing(mut self, tells: bool) -> Self {
        self.0.server_timing = tells;
        self
    }

    /// Leaves it to whoever calls the app to keep requests in flight, which otherwise are so
    /// from here to the end of their answer, in [`Registry::in_flight`].
    #[must_use]
    pub fn in_flight_elsewhere(mut self) -> Self {
        self.0.in_flight = None;
        self
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService {
            inner,
            measures: Arc::new(self.0.clone()),
        }
    }
}

/// The service that [`RequestLayer`] makes.
#[derive(Debug, Clone)]
pub struct RequestService<S> {
    inner: S,
    measures: Arc<Measures>,
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
        let measures = &self.measures;
        let queued = queued(request.headers());
        if let Some(queued) = queued {
            measures.requests.queued(queued);
        }
        let exchange = Exchange {
            measures: Arc::clone(measures),
            method: request.method().clone(),
            mark: mark(request.headers()),
            queued,
            started: None,
            span: Span::new(measures.route(&request), measures.waits),
            entry: None,
            _in_flight: measures.in_flight.as_ref().map(InFlight::enter),
        };
        ResponseFuture::new(self.inner.call(request), exchange)
    }
}

impl Measures {
    fn route(&self, request: &Request<Body>) -> usize {
        let matched = request.extensions().get::<MatchedPath>();
        let route = matched.map_or(UNMATCHED, MatchedPath::as_str);
        self.registry.routes().index(route)
    }
}

/// A request on its way, from its first poll to the end of its answer.
///
/// The time is read before and after a poll, once each for all who need it.
#[derive(Debug)]
struct Exchange {
    measures: Arc<Measures>,
    method: Method,
    /// By which its client knows it in the journal, or 0.
    mark: u64,
    queued: Option<Duration>,
    /// When it was first polled.
    started: Option<u64>,
    span: Span,
    /// `None` before the first poll, or if the journal had no place for it.
    entry: Option<Entry>,
    _in_flight: Option<InFlightGuard>,
}

impl Exchange {
    /// Polls a part of the request's work, and returns the time after it.
    fn poll<T>(&mut self, work: impl FnOnce() -> Poll<T>) -> (Poll<T>, u64) {
        let now = accounting::now();
        if self.started.is_none() {
            self.begin(now);
        }
        let awaited_before = self.span.awaits();
        let (polled, now) = self.span.poll(now, &self.measures.registry, work);
        if let Some(entry) = &self.entry
            && self.span.awaits() != awaited_before
        {
            self.measures.registry.journal().awaits(entry);
        }
        (polled, now)
    }

    fn begin(&mut self, now: u64) {
        let queued = nanoseconds(self.queued.unwrap_or_default());
        let journal = self.measures.registry.journal();
        self.entry = journal.begin(now, self.span.route, queued, self.mark);
        self.started = Some(now);
        self.span.begin(now);
    }

    /// No more work is to come.
    fn end(&mut self, now: u64) {
        self.span.end(now, &self.measures.registry);
    }

    fn finish(mut self, status: http::StatusCode, now: u64) {
        self.end(now);
        let Self {
            measures,
            method,
            started,
            span,
            entry,
            ..
        } = self;
        let took = Duration::from_nanos(now.saturating_sub(started.unwrap_or(now)));
        measures
            .requests
            .finished(&method, span.route, status, took);
        if let Some(entry) = entry {
            let (_, awaited) = span.so_far(now);
            let journal = measures.registry.journal();
            journal.end(now, entry, status.as_u16(), awaited);
        }
    }
}

/// A header that tells of a longer wait means something else: fronts give up after minutes.
const LONGEST_QUEUE: Duration = Duration::from_secs(3_600);

/// How long the request waited for a thread, if the front says when it came:
/// `X-Request-Start: t=1700000000.123`, in seconds since 1970. Clocks that disagree count as 0;
/// more than an hour is no measurement.
fn queued(headers: &HeaderMap) -> Option<Duration> {
    let start = headers
        .get(REQUEST_START)?
        .to_str()
        .ok()?
        .strip_prefix("t=")?;
    let start = Duration::try_from_secs_f64(start.parse().ok()?).ok()?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    Some(now.saturating_sub(start)).filter(|queued| *queued <= LONGEST_QUEUE)
}

/// By which a client knows its own requests in the journal: an `X-Request-ID` of just 16
/// hexadecimal digits, as the live page sends; 0 for any other.
fn mark(headers: &HeaderMap) -> u64 {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    id.filter(|id| id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|id| u64::from_str_radix(id, 16).ok())
        .unwrap_or(0)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
