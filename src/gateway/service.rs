//! The app as a hyper service.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use futures_util::future::Either;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::util::{Oneshot, ServiceExt};

use super::body::{ResponseBody, request_body};
use super::client_connection::ClientConnection;
use super::connection_state::{ConnectionState, RequestGuard};
use crate::wire::{HeadError, check_head};

/// Application that a gateway serves: a tower service that never fails, such as an axum `Router`.
///
/// A frame of a request's body may be an error that an [`io::Error`](std::io::Error) caused: of the kind
/// [`TimedOut`](std::io::ErrorKind::TimedOut) if the client did not send the body within
/// [`ClientLimits::read_timeout`](super::ClientLimits::read_timeout), of another kind if the body is malformed or the
/// client closed the connection.
pub trait App:
    tower::Service<
        Request<Body>,
        Response = Response<<Self as App>::Body>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// Body of its responses.
    type Body: HttpBody<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> App for S
where
    S: tower::Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: HttpBody<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = B;
}

/// The app on one connection.
#[derive(Debug)]
pub(super) struct Connected<A> {
    /// Called in its place: to clone it would take reference counts that all threads share.
    pub(super) app: RefCell<A>,
    pub(super) state: Arc<ConnectionState>,
    /// Tells of clients that leave; without it, only of those that have left when the app is called.
    pub(super) client: Option<ClientConnection>,
    /// Time for a request's body to arrive, unless the stream below hyper enforces it.
    pub(super) body_timeout: Option<Duration>,
}

impl<A: App> hyper::service::Service<Request<Incoming>> for Connected<A> {
    type Response = Response<ResponseBody<A::Body>>;
    /// Ends the connection; `rejection` then sends the response.
    type Error = HeadError;
    type Future = Either<Ready<Result<Self::Response, HeadError>>, ResponseFuture<A>>;

    #[inline(always)]
    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Err(error) = check_head(&request) {
            self.state.head_rejected();
            return Either::Left(ready(Err(error)));
        }
        self.state.request_started(!request.body().is_end_stream());
        if !self.state.has_served() && asks_for_close(&request) {
            self.state.will_close();
        }
        let guard = RequestGuard::new(&self.state);
        // Not without need: an extension takes an allocation and a hash table.
        let closed = || self.state.is_abandoned().then(ClientConnection::closed);
        if let Some(client) = self.client.clone().or_else(closed) {
            request.extensions_mut().insert(client);
        }
        let request =
            request.map(|incoming| request_body(incoming, &self.state, self.body_timeout));
        Either::Right(ResponseFuture {
            response: self.respond(request),
            guard: Some(guard),
        })
    }
}

impl<A: App> Connected<A> {
    /// Calls the app now if it is ready, as routers always are: a request that waits in a future is moved twice more.
    fn respond(&self, request: Request<Body>) -> AppFuture<A> {
        // An app does not serve a connection's next request within a call.
        let mut app = self.app.borrow_mut();
        let mut context = Context::from_waker(Waker::noop());
        // hyper may have read a request before its turn.
        if !self.state.is_turn_over() && app.poll_ready(&mut context).is_ready() {
            Either::Left(app.call(request))
        } else {
            Either::Right(app.clone().oneshot(request))
        }
    }
}

/// Future of the app, which has been called or is called as soon as it is ready.
type AppFuture<A> = Either<<A as tower::Service<Request<Body>>>::Future, Oneshot<A, Request<Body>>>;

/// Returns whether hyper closes the connection after the response because the client wants it.
fn asks_for_close<B>(request: &Request<B>) -> bool {
    let option = request.headers().get(CONNECTION);
    option.is_some_and(|option| option.as_bytes().eq_ignore_ascii_case(b"close"))
}

pin_project! {
    /// Future of the app's response to one request.
    pub(super) struct ResponseFuture<A: App> {
        #[pin]
        response: AppFuture<A>,
        guard: Option<RequestGuard>,
    }
}

impl<A: App> Future for ResponseFuture<A> {
    type Output = Result<Response<ResponseBody<A::Body>>, HeadError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(guard) = this.guard
            && guard.state().is_turn_over()
        {
            // hyper had read this request already when it sent the previous response. It is polled again in its own
            // turn.
            return Poll::Pending;
        }
        let Ok(mut response) = ready!(this.response.poll(cx));
        let Some(guard) = this.guard.take() else {
            // Only reached when the future is polled again after it was ready, which hyper never does.
            return Poll::Pending;
        };
        // The rest of the body would be read as the head of the next request, so the connection closes. A client that does
        // not know of a close would lose its next request (RFC 9112, section 9.6).
        if guard.state().is_body_given_up() || guard.state().is_last_response() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|body| ResponseBody { body, guard })))
    }
}
