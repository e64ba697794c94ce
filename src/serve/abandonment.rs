//! Requests whose client has left: they are not worked on, and count with the status 499.
//!
//! The status is nginx's, as is the rule: a client has left when it closes its connection, or only its
//! sending side, before the response has begun. hyper notices that on the asynchronous gateway while a
//! request awaits something, and drops it. This layer is for what hyper does not see: clients that left
//! before a thread was there for their request, or while its handler held the thread.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use thread_states::problem::{self, Problem};
use tower::layer::layer_fn;
use tower::{Layer, Service};

use crate::gateway::ClientConnection;
use crate::wire::CoarseInstant;

/// Time for which a handler holds its thread from which on it is worth looking at the connection
/// again.
const LONG_HOLD: Duration = Duration::from_millis(100);

/// Returns a layer that responds with 499 to requests whose client has left.
pub(super) fn layer<S>() -> impl Layer<S, Service = Abandonment<S>> + Clone {
    layer_fn(|inner| Abandonment { inner })
}

/// Service that does not work for clients that have left.
#[derive(Debug, Clone)]
pub(super) struct Abandonment<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Abandonment<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AbandonmentFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        AbandonmentFuture {
            client: request.extensions().get().cloned(),
            inner: self.inner.call(request),
            late: None,
        }
    }
}

/// A turn of the event loop.
type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// Future of [`Abandonment`].
    pub(super) struct AbandonmentFuture<F> {
        #[pin]
        inner: F,
        client: Option<ClientConnection>,
        // Response of a handler that held its thread for long. It waits for one turn of the event loop,
        // in which the asynchronous gateway notices that the client has left. Boxed, as few requests need it.
        late: Option<Box<(Turn, Response<Body>)>>,
    }
}

impl<F, E> Future for AbandonmentFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let is_abandoned = || {
            this.client
                .as_ref()
                .is_some_and(ClientConnection::is_abandoned)
        };
        if let Some(late) = this.late {
            ready!(late.0.as_mut().poll(context));
        }
        if is_abandoned() {
            return Poll::Ready(Ok(client_closed_request()));
        }
        if let Some(late) = this.late.take() {
            return Poll::Ready(Ok(late.1));
        }
        let start = CoarseInstant::now();
        let response = ready!(this.inner.poll(context))?;
        if CoarseInstant::now().duration_since(start) < LONG_HOLD {
            return Poll::Ready(Ok(response));
        }
        let mut turn: Turn = Box::pin(tokio::task::yield_now());
        // Pending, and wakes the task after the turn.
        let polled = turn.as_mut().poll(context);
        *this.late = Some(Box::new((turn, response)));
        if polled.is_ready() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Returns the response that a client gets that has only closed its sending side.
fn client_closed_request() -> Response<Body> {
    let detail = "the client closed its side of the connection before it got a response";
    let problem = Problem::new(problem::client_closed_request(), detail);
    let mut response: Response<Body> = problem.into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}
