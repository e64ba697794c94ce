//! Work that is not a request, measured from poll to poll.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::span::{Span, end_of};
use super::thread_model::ThreadModel;
use crate::accounting::{Registry, Timestamp};

pin_project! {
    /// Future of [`Metrics::measure`](crate::Metrics::measure).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Measured<F> {
        #[pin]
        inner: F,
        registry: Registry,
        span: Span,
    }

    impl<F> PinnedDrop for Measured<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.span.end(Timestamp::now(), this.registry);
        }
    }
}

impl<F> Measured<F> {
    pub(in super::super) fn new(registry: &Registry, route: &str, inner: F) -> Self {
        let route = registry.routes().index(route);
        Self {
            inner,
            registry: registry.clone(),
            span: Span::new(route, ThreadModel::EventLoop),
        }
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut polled = Poll::Pending;
        this.span
            .poll(Timestamp::now(), this.registry, context, |context| {
                polled = this.inner.poll(context);
                end_of(&polled)
            });
        polled
    }
}
