//! State of a connection: which request or response its bytes belong to.
//!
//! hyper knows it too, but does not expose it. So the service, the request's body and the response's
//! body report it here. The stream below hyper reads it to decide how long a read may wait, and
//! whether a write carries the app's response or one of hyper's own.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering::Relaxed};

use http::StatusCode;

use super::shutdown::ShutdownFlag;
use crate::wire;
use thread_states::InFlight;

/// State of one connection, shared by its stream, its service and its bodies.
///
/// The task that drives the connection reads and writes all of it, except that an app may move a body
/// to another thread. No value depends on another, so relaxed ordering is enough.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    phase: AtomicU8,
    served: AtomicBool,
    closes: AtomicBool,
    head_started: AtomicBool,
    abandoned: AtomicBool,
    request_body: AtomicU8,
    /// Status of the gateway's own error response, or 0.
    error_status: AtomicU16,
    turns: Option<Turns>,
    /// It makes the present response the last one, if another request could follow.
    shutdown: Option<ShutdownFlag>,
    /// Counts the requests, unless the connection itself is counted.
    in_flight: Option<Arc<InFlight>>,
}

/// Turns of a connection that no thread holds between two requests: in each, a thread serves one request.
#[derive(Debug)]
struct Turns {
    /// True if the connection ends with its first response.
    only_one: bool,
    /// True from the end of a response until the next turn.
    over: AtomicBool,
    /// True if hyper needs bytes that are not there.
    starved: AtomicBool,
}

/// There is no request, or its head is being read.
const WAITING: u8 = 0;
/// The app was called, and its response has not ended.
const SERVING: u8 = 1;
/// The response has ended, but its last bytes may not be written yet.
const RESPONDED: u8 = 2;
/// The request's head broke a rule. The connection ends with the gateway's own response.
const REJECTED: u8 = 3;

/// No more body is expected.
const READ: u8 = 0;
/// The app holds the body and has not read it to its end.
const WANTED: u8 = 1;
/// The app dropped the body before its end.
const DROPPED: u8 = 2;
/// The body cannot be read to its end: it is malformed, or did not arrive in time.
const FAILED: u8 = 3;

impl ConnectionState {
    /// State of a connection that is kept until the shutdown, and whose requests are counted by `in_flight`, if there is
    /// one.
    pub(super) fn counted_by(in_flight: Option<Arc<InFlight>>, shutdown: ShutdownFlag) -> Self {
        Self {
            in_flight,
            shutdown: Some(shutdown),
            ..Self::default()
        }
    }

    /// State of a connection that a thread serves in turns, until the shutdown; or in `only_one`, for which no thread
    /// waits either.
    pub(super) fn in_turns(shutdown: ShutdownFlag, only_one: bool) -> Self {
        Self {
            shutdown: Some(shutdown),
            turns: Some(Turns {
                only_one,
                over: AtomicBool::new(false),
                starved: AtomicBool::new(false),
            }),
            ..Self::default()
        }
    }

    /// Records that a thread serves the next request.
    pub(super) fn begin_turn(&self) {
        if let Some(turns) = &self.turns {
            turns.over.store(false, Relaxed);
            turns.starved.store(false, Relaxed);
        }
    }

    /// Returns whether a thread serves the connection in turns.
    pub(super) fn has_turns(&self) -> bool {
        self.turns.is_some()
    }

    /// Records that a response was sent, and that the thread serves other connections before the next request.
    pub(super) fn end_turn(&self) {
        if let Some(turns) = &self.turns {
            turns.over.store(true, Relaxed);
        }
    }

    /// Returns whether a response was sent in this turn.
    pub(super) fn is_turn_over(&self) -> bool {
        let turns = self.turns.as_ref();
        turns.is_some_and(|turns| turns.over.load(Relaxed))
    }

    /// Records that hyper needs bytes for which the thread does not wait.
    pub(super) fn starve(&self) {
        if let Some(turns) = &self.turns {
            turns.starved.store(true, Relaxed);
        }
    }

    /// Returns whether hyper needs bytes for which the thread does not wait.
    pub(super) fn is_starved(&self) -> bool {
        let turns = self.turns.as_ref();
        turns.is_some_and(|turns| turns.starved.load(Relaxed))
    }

    /// Returns whether the connection ends with this response, which hyper does not know.
    pub(super) fn is_last_response(&self) -> bool {
        let (turns, shutdown) = (self.turns.as_ref(), self.shutdown.as_ref());
        turns.is_some_and(|turns| turns.only_one) || shutdown.is_some_and(ShutdownFlag::is_set)
    }

    /// Records that the app is called with a request.
    pub(super) fn request_started(&self, has_body: bool) {
        self.phase.store(SERVING, Relaxed);
        self.request_body
            .store(if has_body { WANTED } else { READ }, Relaxed);
    }

    /// Records that the request's head broke a rule, and that nothing more is read. Not while bytes of
    /// the previous response are unsent: the gateway's own response would follow their middle.
    pub(super) fn head_rejected(&self) {
        let _ = self
            .phase
            .compare_exchange(WAITING, REJECTED, Relaxed, Relaxed);
    }

    /// Returns whether the request's head broke a rule.
    pub(super) fn is_head_rejected(&self) -> bool {
        self.phase.load(Relaxed) == REJECTED
    }

    /// Records that the response has ended or was abandoned.
    pub(super) fn response_ended(&self) {
        self.phase.store(RESPONDED, Relaxed);
    }

    /// Returns whether the response has ended, and perhaps not all of its bytes are written yet.
    #[cfg(target_os = "linux")]
    pub(super) fn is_response_complete(&self) -> bool {
        self.phase.load(Relaxed) == RESPONDED
    }

    /// Records that all bytes were written. Returns whether they complete a response; the next byte
    /// to read then belongs to another request.
    pub(super) fn flushed(&self) -> bool {
        let complete = self.phase.load(Relaxed) == RESPONDED;
        if complete {
            self.phase.store(WAITING, Relaxed);
            self.served.store(true, Relaxed);
            self.head_started.store(false, Relaxed);
        }
        complete
    }

    /// Returns whether a response was sent on the connection.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Relaxed)
    }

    /// Records that the connection closes after the response.
    pub(super) fn will_close(&self) {
        self.closes.store(true, Relaxed);
    }

    /// Returns whether no other request can follow on the connection. May be false for a connection that closes: it is
    /// determined only where that saves work.
    pub(super) fn closes(&self) -> bool {
        self.closes.load(Relaxed)
    }

    /// Returns whether no request is being served.
    pub(super) fn is_waiting(&self) -> bool {
        self.phase.load(Relaxed) == WAITING
    }

    /// Returns whether the app still wants the body of the request that it serves.
    pub(super) fn wants_body(&self) -> bool {
        self.phase.load(Relaxed) == SERVING && self.request_body.load(Relaxed) == WANTED
    }

    /// Records that bytes of a request's head arrived. Returns whether they are the first.
    pub(super) fn head_received(&self) -> bool {
        // A `swap` would take longer, and only the task of the connection calls this.
        let is_first = !self.has_head();
        self.head_started.store(true, Relaxed);
        is_first
    }

    /// Returns whether bytes of a request's head have arrived.
    pub(super) fn has_head(&self) -> bool {
        self.head_started.load(Relaxed)
    }

    /// Records that the client left before its request was read.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    /// Returns whether the client left before its request was read.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// Records that the request's body was read to its end.
    pub(super) fn body_read(&self) {
        self.request_body.store(READ, Relaxed);
    }

    /// Records that the request's body cannot be read to its end.
    pub(super) fn body_failed(&self) {
        self.request_body.store(FAILED, Relaxed);
    }

    /// Records that the app dropped the request's body.
    pub(super) fn body_dropped(&self) {
        let _ = self
            .request_body
            .compare_exchange(WANTED, DROPPED, Relaxed, Relaxed);
    }

    /// Returns whether nobody reads the rest of the request's body.
    pub(super) fn is_body_given_up(&self) -> bool {
        matches!(self.request_body.load(Relaxed), DROPPED | FAILED)
    }

    /// Returns whether the client may still be sending a body that has not been read.
    pub(super) fn is_body_unread(&self) -> bool {
        self.request_body.load(Relaxed) != READ
    }

    /// Records that the head did not arrive in time. A client that sent nothing gets no response,
    /// because it made no request.
    pub(super) fn head_timed_out(&self) {
        if self.has_head() {
            self.reject(StatusCode::REQUEST_TIMEOUT);
        }
    }

    /// Records an error response that hyper writes by itself, which is everything that it writes
    /// while no request is served. The bytes are not sent; `rejection` sends a response with a
    /// body in their place. Returns the number of bytes.
    pub(super) fn take_hyper_reply(&self, slices: &[IoSlice<'_>]) -> usize {
        let status = slices.first().and_then(|head| wire::hyper_status(head));
        self.reject(status.unwrap_or(StatusCode::BAD_REQUEST));
        slices.iter().map(|slice| slice.len()).sum()
    }

    /// Records that there is no memory for a large head.
    pub(super) fn head_refused(&self) {
        self.reject(StatusCode::SERVICE_UNAVAILABLE);
    }

    fn reject(&self, status: StatusCode) {
        self.error_status.store(status.as_u16(), Relaxed);
    }

    /// Status of the gateway's own error response, if it has to send one.
    pub(super) fn error_status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.error_status.load(Relaxed)).ok()
    }
}

/// Guard for a request that is being served, from the app's call until its response has ended or was
/// abandoned.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<ConnectionState>);

impl RequestGuard {
    pub(super) fn new(state: &Arc<ConnectionState>) -> Self {
        if let Some(in_flight) = &state.in_flight {
            in_flight.begin();
        }
        Self(Arc::clone(state))
    }

    /// State of the connection.
    pub(super) fn state(&self) -> &ConnectionState {
        &self.0
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.response_ended();
        if let Some(in_flight) = &self.0.in_flight {
            in_flight.end();
        }
    }
}
