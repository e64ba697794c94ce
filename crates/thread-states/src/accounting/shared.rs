//! The part of a thread's clock that other threads read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::evidence::Evidence;
use super::in_flight::InFlight;
use super::kernel::Source;
use super::slot::Slot;
use super::units::Timestamp;

/// The part of a clock that the exporter reads.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) slot: Slot,
    pub(super) in_flight: Arc<InFlight>,
    /// Locked by the exporter; the thread only tries to, so that it never waits.
    pub(super) evidence: Mutex<Evidence>,
    /// Start of the clock.
    pub(super) began: Timestamp,
    replaced: AtomicU64,
}

impl Shared {
    /// Returns the shared part of a clock that begins at this time.
    pub(super) fn new(
        source: Source,
        slot: Slot,
        in_flight: Arc<InFlight>,
        began: Timestamp,
    ) -> Self {
        Self {
            source,
            slot,
            in_flight,
            evidence: Mutex::default(),
            began,
            replaced: AtomicU64::new(0),
        }
    }

    /// Ends the thread's time: from now on another thread is the same worker.
    pub(super) fn replace(&self) {
        let now = Timestamp::now().as_nanos();
        self.replaced.store(now, Ordering::Release);
    }

    /// When another thread replaced this one; `None` if none has.
    pub(super) fn replaced(&self) -> Option<Timestamp> {
        let replaced = self.replaced.load(Ordering::Acquire);
        (replaced > 0).then_some(Timestamp::from_nanos(replaced))
    }
}
