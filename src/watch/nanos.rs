//! Nanoseconds as a type.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// Nanoseconds: a span of time, or a moment of `CLOCK_MONOTONIC`.
///
/// Subtraction saturates at zero: two clocks that are read one after the other may be a little apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// A span of milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds * 1_000_000)
    }

    /// Now, on `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn now() -> Self {
        Self(thread_states::now())
    }

    /// The span in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        thread_states::seconds(self.0)
    }

    /// The share `numerator / denominator` of this span; all of it if the denominator is zero.
    #[must_use]
    pub fn share(self, numerator: Self, denominator: Self) -> Self {
        if numerator >= denominator {
            return self;
        }
        let share = u128::from(self.0) * u128::from(numerator.0) / u128::from(denominator.0);
        // At most `self`, since the numerator is below the denominator.
        Self(share as u64)
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Nanos {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Nanos {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::ZERO, Add::add)
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(span: Nanos) -> Self {
        Self::from_nanos(span.0)
    }
}
