//! Where a connection is between a request and its answer.
//!
//! hyper's engine knows it too, but does not tell. So the app's call, the request's body and the
//! response's body report it here, and the stream under hyper reads it here, to know what a read
//! waits for and whose bytes a write carries.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering::Relaxed};

use http::StatusCode;

use thread_states::InFlightGuard;

/// The state of one connection, shared by its stream, its service and its bodies.
///
/// All of it is read and written by the one task that drives the connection, except that an app may
/// move a body to another thread; so each value stands for itself and no order among them matters.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    phase: AtomicU8,
    head_began: AtomicBool,
    request_body: AtomicU8,
    /// The status of the gateway's own answer, or 0.
    refused: AtomicU16,
}

/// No request, or the head of one is being read.
const WAITING: u8 = 0;
/// The app was called; its response has not ended.
const SERVING: u8 = 1;
/// The response has ended; its last bytes may not be written yet.
const ANSWERED: u8 = 2;

/// No body is expected any more.
const READ: u8 = 0;
/// The app holds the body and has not read it to its end.
const WANTED: u8 = 1;
/// The app dropped the body before its end.
const DROPPED: u8 = 2;
/// The body did not come in time.
const LATE: u8 = 3;

impl Exchange {
    /// The app is called with a request.
    pub(super) fn begin(&self, has_body: bool) {
        self.phase.store(SERVING, Relaxed);
        self.request_body
            .store(if has_body { WANTED } else { READ }, Relaxed);
    }

    /// The response has ended, or was given up.
    pub(super) fn answer_ended(&self) {
        self.phase.store(ANSWERED, Relaxed);
    }

    /// Everything is written. Tells whether that completes an answer: the next byte to come is that
    /// of another request.
    pub(super) fn flushed(&self) -> bool {
        let complete = self.phase.load(Relaxed) == ANSWERED;
        if complete {
            self.phase.store(WAITING, Relaxed);
            self.head_began.store(false, Relaxed);
        }
        complete
    }

    /// Whether no request is being served.
    pub(super) fn is_waiting(&self) -> bool {
        self.phase.load(Relaxed) == WAITING
    }

    /// Whether a request is being served whose body the app still wants.
    pub(super) fn wants_body(&self) -> bool {
        self.phase.load(Relaxed) == SERVING && self.request_body.load(Relaxed) == WANTED
    }

    /// Bytes of a request's head came. Tells whether they are its first ones.
    pub(super) fn head_began(&self) -> bool {
        !self.head_began.swap(true, Relaxed)
    }

    /// Whether bytes of a request's head have come.
    pub(super) fn has_head(&self) -> bool {
        self.head_began.load(Relaxed)
    }

    /// The request's body was read to its end.
    pub(super) fn body_read(&self) {
        self.request_body.store(READ, Relaxed);
    }

    /// The request's body did not come in time.
    pub(super) fn body_late(&self) {
        self.request_body.store(LATE, Relaxed);
    }

    /// The app dropped the request's body.
    pub(super) fn body_dropped(&self) {
        let _ = self
            .request_body
            .compare_exchange(WANTED, DROPPED, Relaxed, Relaxed);
    }

    /// Whether the request's body did not come in time.
    pub(super) fn is_body_late(&self) -> bool {
        self.request_body.load(Relaxed) == LATE
    }

    /// Whether the client may still be sending a body that nobody has read.
    pub(super) fn is_body_unread(&self) -> bool {
        self.request_body.load(Relaxed) != READ
    }

    /// The head did not come in time. Only one that began is worth an answer.
    pub(super) fn head_late(&self) {
        if self.has_head() {
            self.refuse(StatusCode::REQUEST_TIMEOUT);
        }
    }

    /// What hyper writes while no request is served is its own refusal of a request that it cannot
    /// read: a bare status. It is not sent but noted, for `refusal` to say it in the shape of all
    /// other errors. Returns the number of its bytes.
    pub(super) fn refuse_as(&self, hypers: &[IoSlice<'_>]) -> usize {
        let status = hypers
            .first()
            .and_then(|head| head.get(9..12))
            .and_then(|status| StatusCode::from_bytes(status).ok());
        self.refuse(status.unwrap_or(StatusCode::BAD_REQUEST));
        hypers.iter().map(|slice| slice.len()).sum()
    }

    fn refuse(&self, status: StatusCode) {
        self.refused.store(status.as_u16(), Relaxed);
    }

    /// The status of the gateway's own answer, if it has to give one.
    pub(super) fn refused(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.refused.load(Relaxed)).ok()
    }
}

/// A request being served: from the app's call until its response has ended, or is given up.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) exchange: Arc<Exchange>,
    pub(super) _in_flight: Option<InFlightGuard>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.exchange.answer_ended();
    }
}
