//! Activity of a client's connection, so that a shutdown waits for requests only.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tower::BoxError;

use super::body::Body;

/// Activity of one connection, shared by its stream and its responses.
///
/// One task drives them, so that relaxed ordering is enough.
#[derive(Debug, Default)]
pub(super) struct Activity {
    has_request: AtomicBool,
    has_unsent: AtomicBool,
}

impl Activity {
    /// Records the start of a request. It ends when the guard is dropped.
    pub(super) fn start(self: &Arc<Self>) -> ActiveRequest {
        self.has_request.store(true, Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Records that hyper has bytes to send, or has sent all.
    pub(super) fn set_unsent(&self, unsent: bool) {
        self.has_unsent.store(unsent, Relaxed);
    }

    /// Returns whether no request is being served and no response is being sent. A part of a head does
    /// not count as a request.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_request.load(Relaxed) && !self.has_unsent.load(Relaxed)
    }
}

/// Guard of a request, until its response has ended.
#[derive(Debug)]
pub(super) struct ActiveRequest(Arc<Activity>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        // Its last bytes are still to be sent.
        self.0.set_unsent(true);
        self.0.has_request.store(false, Relaxed);
    }
}

/// Body of a response, which ends the request.
#[derive(Debug)]
pub(super) struct GuardedBody {
    pub(super) body: Body,
    pub(super) _request: ActiveRequest,
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
