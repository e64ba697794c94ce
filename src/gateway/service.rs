//! The app as hyper calls it.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::util::{Oneshot, ServiceExt};

use super::body::{RequestBody, ResponseBody};
use super::exchange::{Exchange, Serving};
use thread_states::InFlight;

/// What a gateway serves: any tower service that answers every request, such as an axum `Router`.
pub trait App:
    tower::Service<
        Request<RequestBody>,
        Response = Response<<Self as App>::Body>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// The body of its responses.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> App for S
where
    S: tower::Service<
            Request<RequestBody>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = B;
}

/// The app on one connection.
#[derive(Debug)]
pub(super) struct Connected<A> {
    pub(super) app: A,
    pub(super) exchange: Arc<Exchange>,
    /// Counts the requests, unless the connection itself is counted.
    pub(super) in_flight: Option<Arc<InFlight>>,
    /// How long bodies wait, unless the stream under hyper sees to it.
    pub(super) body_patience: Option<Duration>,
}

impl<A: App> hyper::service::Service<Request<Incoming>> for Connected<A> {
    type Response = Response<ResponseBody<A::Body>>;
    type Error = Infallible;
    type Future = Answer<A>;

    fn call(&self, request: Request<Incoming>) -> Answer<A> {
        self.exchange.begin(!request.body().is_end_stream());
        let serving = Serving {
            exchange: Arc::clone(&self.exchange),
            _in_flight: self.in_flight.as_ref().map(InFlight::enter),
        };
        let request =
            request.map(|incoming| RequestBody::new(incoming, &self.exchange, self.body_patience));
        Answer {
            response: self.app.clone().oneshot(request),
            serving: Some(serving),
        }
    }
}

pin_project! {
    /// The app's answer to one request.
    pub(super) struct Answer<A: App> {
        #[pin]
        response: Oneshot<A, Request<RequestBody>>,
        serving: Option<Serving>,
    }
}

impl<A: App> Future for Answer<A> {
    type Output = Result<Response<ResponseBody<A::Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        let Some(serving) = this.serving.take() else {
            // Only a future that is polled after it was ready gets here, which hyper never does.
            return Poll::Pending;
        };
        if serving.exchange.is_body_late() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|body| ResponseBody { body, serving })))
    }
}
