//! Systems other than Linux: the present time, and no counters.

use std::convert::Infallible;
use std::io;
use std::sync::OnceLock;
use std::time::Instant;

use super::super::units::Timestamp;
use super::counters::{Counters, OsThread, Sighting};
use super::support::Unsupported;

pub(super) fn now() -> Timestamp {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let elapsed = FIRST.get_or_init(Instant::now).elapsed();
    // 2⁶⁴ ns are 584 years. A replaced thread keeps 0 for "never", so the first time is 1.
    Timestamp::from_nanos(1 + elapsed.as_nanos() as u64)
}

/// Access to one thread's counters: no value of this type exists here.
#[derive(Debug)]
pub(in super::super) struct Source(Infallible);

impl Source {
    /// # Errors
    ///
    /// Always.
    pub(in super::super) fn of_this_thread() -> Result<Self, Unsupported> {
        Err(Unsupported)
    }

    pub(in super::super) fn thread(&self) -> OsThread {
        match self.0 {}
    }

    pub(in super::super) fn read_own(
        &self,
        _wall: Timestamp,
        _last: &Counters,
    ) -> Option<Counters> {
        match self.0 {}
    }

    pub(in super::super) fn has_slept_since(&self, _last: &Counters) -> bool {
        match self.0 {}
    }

    pub(in super::super) fn read_other(&self, _last: &Counters) -> io::Result<Counters> {
        match self.0 {}
    }

    pub(in super::super) fn look_at_other(&self, _read: &Counters) -> Option<Sighting> {
        match self.0 {}
    }

    pub(in super::super) fn other_sleeps(&self) -> bool {
        match self.0 {}
    }
}
