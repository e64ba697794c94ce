//! Counters of the kernel about a thread: its CPU clock, run-queue delay and context switches.
//!
//! * `counters`: the values
//! * `linux`: where Linux keeps them
//! * `unsupported`: other systems, on which [`Source`] has no value, so that nothing is made up
//! * `support`: the error that says so

mod counters;
#[cfg(target_os = "linux")]
mod linux;
mod support;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use unsupported as system;

pub use counters::OsThread;
pub(super) use counters::{Activity, Counters, Sighting};
#[cfg(target_os = "linux")]
pub(crate) use linux::process_cpu_seconds;
pub use support::{Unsupported, supported};
pub(super) use system::Source;

use super::units::{Nanos, Timestamp};

impl Timestamp {
    /// The present time. Takes about 20 ns.
    ///
    /// On Linux it is `CLOCK_MONOTONIC`; on other systems the clock starts at the first call.
    #[must_use]
    pub fn now() -> Self {
        system::now()
    }

    /// Time since this moment.
    #[must_use]
    pub fn elapsed(self) -> Nanos {
        Self::now().duration_since(self)
    }
}
