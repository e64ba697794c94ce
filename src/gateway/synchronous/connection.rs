//! One connection and hyper's state of it, which outlives the thread's turn with it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use hyper::server::conn::http1;

use super::super::client_connection::{ClientConnection, ClientSocket};
use super::super::connection_state::ConnectionState;
use super::super::running::Worker;
use super::super::service::Connected;
use super::super::{App, rejection};
use super::arrival::Until;
use super::idle::IdleSet;
use super::stream::BlockingStream;

/// Connection of a client.
pub(super) struct SyncConnection<A: App> {
    http: http1::Connection<BlockingStream, Connected<A>>,
    state: Arc<ConnectionState>,
    socket: Arc<ClientSocket>,
    /// Time until which it may be idle, if it may: at first as long as for a head. It does not start again when a thread
    /// looks in vain.
    deadline: Option<Instant>,
}

impl<A: App> SyncConnection<A> {
    /// Creates a connection for one request, or with `keep_alive` for any number of them. One that has one of the last
    /// descriptors (`is_last`) gives it back after one.
    pub(super) fn new(
        http: &http1::Builder,
        stream: TcpStream,
        app: A,
        worker: &Worker,
        keep_alive: bool,
        is_last: bool,
    ) -> Box<Self> {
        let state = Arc::new(match keep_alive {
            true => ConnectionState::in_turns(worker.shutdown.flag(), is_last),
            false => ConnectionState::default(),
        });
        let socket = Arc::new(ClientSocket::new(stream));
        let service = Connected {
            app: RefCell::new(app),
            state: Arc::clone(&state),
            client: Some(ClientConnection::of_socket(&socket)),
            body_timeout: None,
        };
        let deadline = keep_alive.then(|| Instant::now() + worker.limits.read_timeout);
        let stream = BlockingStream::new(
            Arc::clone(&socket),
            Arc::clone(&state),
            worker.limits,
            deadline,
            worker.shutdown.clone(),
        );
        Box::new(Self {
            http: http.serve_connection(stream, service),
            state,
            socket,
            deadline,
        })
    }

    /// Serves a request if one is there. Then closes the connection, or leaves it to the `idle` ones if another request
    /// may follow.
    pub(super) async fn serve(
        mut self: Box<Self>,
        worker: &Worker,
        idle: Option<&IdleSet<Box<Self>>>,
    ) {
        self.state.begin_turn();
        let turn = poll_fn(|cx| match Pin::new(&mut self.http).poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => match self.idle_until() {
                Some(until) => Poll::Ready(Err(until)),
                None => Poll::Pending,
            },
        });
        let (result, until) = match turn.await {
            Ok(result) => (result, None),
            Err(until) => (Ok(()), Some(until)),
        };
        let unkept = match (idle, until) {
            (Some(idle), Some(until)) => self.leave_to(idle, until, worker),
            _ => Some(self),
        };
        if let Some(connection) = unkept {
            connection.close(&result, worker).await;
        }
    }

    /// Leaves the connection to the `idle` ones. Returns it if they cannot take it, or if it has been idle for too long.
    fn leave_to(
        mut self: Box<Self>,
        idle: &IdleSet<Box<Self>>,
        until: Until,
        worker: &Worker,
    ) -> Option<Box<Self>> {
        let now = Instant::now();
        let idle_timeout = worker.limits.idle_timeout;
        let renewed = self.state.is_turn_over().then(|| now + idle_timeout);
        self.deadline = renewed.or(self.deadline);
        match self.deadline {
            Some(deadline) if deadline > now => idle.insert(self, deadline, until).err(),
            _ => Some(self),
        }
    }

    /// Returns what it is idle until, if nothing keeps it from it.
    fn idle_until(&self) -> Option<Until> {
        if self.state.is_starved() {
            return Some(Until::Readable);
        }
        // hyper has read the next request and wants it served.
        let has_next = self.state.is_turn_over() && !self.state.is_waiting();
        has_next.then_some(Until::NextTurn)
    }

    /// Closes the connection, whose future has returned `result`.
    async fn close(self: Box<Self>, result: &hyper::Result<()>, worker: &Worker) {
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended early");
        }
        let Self {
            http,
            state,
            socket,
            ..
        } = *self;
        // The stream closes the socket.
        drop(socket);
        let parts = http.into_parts();
        // After a shutdown that interrupted a head, nothing that was sent can be lost.
        let is_cut = worker.shutdown.is_cancelled() && state.is_waiting() && result.is_err();
        let unread = !is_cut && (state.is_body_unread() || !parts.read_buf.is_empty());
        let reply = rejection::reply(&state, result, &parts.read_buf, &worker.limits);
        parts.io.close(reply, unread).await;
    }
}

impl<A: App> AsFd for SyncConnection<A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.stream.as_fd()
    }
}
