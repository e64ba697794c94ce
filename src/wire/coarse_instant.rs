//! A clock that is faster to read than the exact one.

use std::time::Duration;

/// Moment of a clock that advances in steps of some milliseconds, and takes a fifth of the time of the exact one to read
/// (clock_gettime(2), `CLOCK_MONOTONIC_COARSE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CoarseInstant(Duration);

impl CoarseInstant {
    /// Longest step of the clock: that of a kernel with `CONFIG_HZ=100`.
    pub(crate) const STEP: Duration = Duration::from_millis(10);

    /// Returns the present moment, at most a [`Self::STEP`] late.
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Self {
        use nix::time::{ClockId, clock_gettime};
        // Not rustix, which cannot read this clock under valgrind.
        Self(clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from))
    }

    /// Returns the present moment.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        use std::sync::LazyLock;
        use std::time::Instant;
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(START.elapsed())
    }

    /// Returns a moment at which `time` has passed for certain.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Self::now().0 + time + Self::STEP)
    }

    /// Milliseconds since some moment before the start of the process.
    pub(crate) fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    pub(crate) fn duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
