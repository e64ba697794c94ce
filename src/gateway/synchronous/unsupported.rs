//! Idle connections on other systems than Linux: there are none.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::time::Instant;

use super::super::running::IdleConnections;
use super::arrival::{Arrival, Until};

/// The set that cannot be created.
pub(super) struct IdleSet<C> {
    never: Infallible,
    _connections: PhantomData<fn() -> C>,
}

impl<C: AsFd> IdleSet<C> {
    /// Returns an error: it needs epoll(7).
    pub(super) fn new(_: &TcpListener, _: NonZeroUsize) -> io::Result<Self> {
        let reason = "only Linux can keep connections without a thread for each";
        Err(io::Error::new(io::ErrorKind::Unsupported, reason))
    }

    pub(super) fn wait<G>(&self, _: impl FnOnce() -> G) -> io::Result<Option<Arrival<C>>> {
        match self.never {}
    }

    pub(super) fn insert(&self, _: C, _: Instant, _: Until) -> Result<(), C> {
        match self.never {}
    }

    pub(super) fn close_oldest(&self) -> bool {
        match self.never {}
    }

    pub(super) fn is_empty(&self) -> bool {
        match self.never {}
    }

    pub(super) fn take_last(&self) -> Option<C> {
        match self.never {}
    }
}

impl<C> IdleConnections for IdleSet<C> {
    fn close_idle(&self) {
        match self.never {}
    }
}

impl<C> fmt::Debug for IdleSet<C> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.never {}
    }
}
