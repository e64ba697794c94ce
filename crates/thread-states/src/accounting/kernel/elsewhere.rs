//! Where there is no Linux: the present time, and nothing about threads.

use std::convert::Infallible;
use std::io;
use std::sync::OnceLock;
use std::time::Instant;

use super::{Reading, Status, Unsupported};

pub(super) fn now() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    // 2⁶⁴ ns are 584 years. 0 means "never" to a park, so the first time is 1.
    1 + FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Access to one thread's counters, which nobody has here.
#[derive(Debug)]
pub(in super::super) struct Source(Infallible);

impl Source {
    /// # Errors
    ///
    /// Always.
    pub(in super::super) fn of_this_thread() -> Result<Self, Unsupported> {
        Err(Unsupported)
    }

    pub(in super::super) fn read_own(&self, _wall: u64) -> Reading {
        match self.0 {}
    }

    pub(in super::super) fn read_other(&self) -> io::Result<Reading> {
        match self.0 {}
    }

    pub(in super::super) fn status_of_other(&self) -> Option<Status> {
        match self.0 {}
    }
}
