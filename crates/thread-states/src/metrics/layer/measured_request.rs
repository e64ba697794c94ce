//! One request, measured from its first poll to the end of its response.

use std::fmt;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::{Request, StatusCode};

use super::super::requests::{Key, Requests, method_label};
use super::headers::Fields;
use super::nesting;
use super::queue_time;
use super::span::{Span, SpanTimes};
use super::thread_model::ThreadModel;
use crate::accounting::{self, HoldEnd, InFlight, NewRequest, OpenEntry, Registry, Timestamp};

/// Settings of a layer, and where its measurements go.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) requests: Arc<Requests>,
    pub(super) registry: Registry,
    pub(super) thread_model: ThreadModel,
    /// `None` if other code counts the requests in flight.
    pub(super) in_flight: Option<Arc<InFlight>>,
    pub(super) server_timing: bool,
    pub(super) request_log: bool,
    pub(super) name_unmatched: Option<UnmatchedNames>,
}

/// Names of requests that match no route, by their paths.
#[derive(Clone)]
pub(super) struct UnmatchedNames(pub(super) Arc<NameOfPath>);

/// Function that returns the name for a path.
type NameOfPath = dyn Fn(&str) -> Option<&str> + Send + Sync;

impl fmt::Debug for UnmatchedNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnmatchedNames")
    }
}

impl Settings {
    /// Returns the index of a request's route.
    fn route<B>(&self, request: &Request<B>) -> usize {
        #[cfg(feature = "axum")]
        if let Some(matched) = request.extensions().get::<axum::extract::MatchedPath>() {
            return self.requests.route(Some(matched.as_str()));
        }
        let names = self.name_unmatched.as_ref();
        self.requests
            .route(names.and_then(|UnmatchedNames(name)| name(request.uri().path())))
    }
}

/// One request, measured from its first poll to the end of its response.
///
/// The time is read once before and once after each poll, for everything that needs it.
#[derive(Debug)]
pub(super) struct MeasuredRequest {
    settings: Arc<Settings>,
    /// Label value of its method.
    method: &'static str,
    /// Number in the request log by which its client finds it, or 0. Read only for the log.
    tag: u64,
    /// Time for which it waited for a thread, if the front sent it.
    queued: Option<Duration>,
    /// Time of the first poll.
    started: Option<Timestamp>,
    span: Span,
    /// `None` before the first poll, or if the request log had no free entry.
    entry: Option<OpenEntry>,
    /// It is counted in flight: not before its first poll, and never if other code counts them.
    in_flight: bool,
}

/// Time that a request spent up to now, for its `Server-Timing` header.
#[derive(Debug)]
pub(super) struct Spent {
    pub(super) queued: Option<Duration>,
    pub(super) times: SpanTimes,
}

impl MeasuredRequest {
    pub(super) fn new<B>(settings: &Arc<Settings>, request: &Request<B>) -> Self {
        let fields = Fields::of(request.headers());
        let queued = fields.start.map(|start| start.and_then(queue_time::queued));
        match &queued {
            Some(Ok(queued)) => settings.requests.queued((*queued).into()),
            Some(Err(queue_time::Rejected)) => settings.requests.start_rejected(),
            None => {}
        }
        let tag = || fields.tag();
        Self {
            settings: Arc::clone(settings),
            method: method_label(request.method()),
            tag: settings.request_log.then(tag).unwrap_or_default(),
            queued: queued.and_then(Result::ok),
            started: None,
            span: Span::new(settings.route(request), settings.thread_model),
            entry: None,
            in_flight: false,
        }
    }

    /// Polls a part of the request's work, as [`Span::poll`] does, and returns the time after it.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> HoldEnd,
    ) -> Timestamp {
        let now = Timestamp::now();
        if self.started.is_none() {
            self.begin(now);
        }
        let awaited_before = self.entry.is_some() && self.span.has_awaited();
        let registry = &self.settings.registry;
        let work = |context: &mut Context<'_>| nesting::within(registry, || work(context));
        let now = self.span.poll(now, registry, context, work);
        if let Some(entry) = &self.entry {
            if self.span.has_awaited() != awaited_before {
                registry.request_log().awaits(entry);
            }
        }
        now
    }

    fn begin(&mut self, now: Timestamp) {
        if let Some(in_flight) = &self.settings.in_flight {
            in_flight.begin_at(now);
            self.in_flight = true;
        }
        if self.settings.request_log {
            let request = NewRequest {
                thread: accounting::index(),
                route: self.span.route,
                queued: self.queued.unwrap_or_default().into(),
                tag: self.tag,
            };
            self.entry = self.settings.registry.request_log().begin(now, request);
        }
        self.started = Some(now);
        self.span.begin(now);
    }

    /// Ends the request's hold or wait: its work is done.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.span.end(now, &self.settings.registry);
    }

    /// Returns the request's times up to `now`, if clients are to get them in a `Server-Timing` header.
    pub(super) fn spent(&self, now: Timestamp) -> Option<Spent> {
        // A thread that is not registered has only zeroes.
        if !self.settings.server_timing || accounting::index().is_none() {
            return None;
        }
        Some(Spent {
            queued: self.queued,
            times: self.span.so_far(now),
        })
    }

    /// Counts the request with the status of its response, at its end.
    pub(super) fn finish(&mut self, status: StatusCode, now: Timestamp) {
        self.end(now);
        let took = now.duration_since(self.started.unwrap_or(now));
        let requests = &self.settings.requests;
        let key = Key {
            method: self.method,
            route: self.span.route,
            status,
        };
        requests.finished(key, took);
        if let Some(entry) = self.entry.take() {
            let SpanTimes { awaited, ready, .. } = self.span.so_far(now);
            let log = self.settings.registry.request_log();
            log.end(now, entry, status.as_u16(), awaited + ready);
        }
        self.leave(|| now);
    }

    /// Ends the request's time in flight, if it is not over.
    fn leave(&mut self, now: impl FnOnce() -> Timestamp) {
        if std::mem::take(&mut self.in_flight) {
            if let Some(in_flight) = &self.settings.in_flight {
                in_flight.end_at(now());
            }
        }
    }
}

impl Drop for MeasuredRequest {
    fn drop(&mut self) {
        self.leave(Timestamp::now);
    }
}
