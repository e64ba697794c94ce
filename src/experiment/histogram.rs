//! Histogram of durations.

use std::time::Duration;

/// Durations from 1 µs to 1 h with 3 significant digits. Its size does not depend on the number of
/// values.
#[derive(Debug, Clone)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

const HOUR_IN_MICROSECONDS: u64 = 3_600_000_000;

impl Default for Histogram {
    #[expect(
        clippy::expect_used,
        reason = "fails only for bounds that are not allowed, and these are constants"
    )]
    fn default() -> Self {
        let empty = hdrhistogram::Histogram::new_with_bounds(1, HOUR_IN_MICROSECONDS, 3);
        Self(empty.expect("allowed bounds"))
    }
}

impl Histogram {
    /// Adds a duration. A duration above 1 h counts as 1 h.
    pub fn record(&mut self, time: Duration) {
        self.0
            .saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the duration at `quantile` (0 to 1); zero if the histogram is empty.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    /// Returns the mean duration; zero if the histogram is empty.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// Returns the longest duration; zero if the histogram is empty.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Returns the number of recorded durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Duration, seconds: f64) -> bool {
        (found.as_secs_f64() / seconds - 1.0).abs() < 0.002
    }

    #[test]
    fn quantiles_match_a_uniform_distribution() {
        let mut histogram = Histogram::default();
        for millis in 1..=10_000 {
            histogram.record(Duration::from_millis(millis));
        }
        assert_eq!(histogram.count(), 10_000);
        for quantile in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let found = histogram.quantile(quantile);
            assert!(near(found, 10.0 * quantile), "{quantile}: {found:?}");
        }
        assert!(near(histogram.max(), 10.0));
        assert!(near(histogram.mean(), 5.0));
    }

    #[test]
    fn quantiles_match_an_exponential_distribution() {
        let mut histogram = Histogram::default();
        let samples = 100_000;
        for i in 0..samples {
            let share = (f64::from(i) + 0.5) / f64::from(samples);
            histogram.record(Duration::from_secs_f64(-(1.0 - share).ln()));
        }
        for quantile in [0.5, 0.9, 0.99] {
            let found = histogram.quantile(quantile);
            assert!(near(found, -(1.0 - quantile).ln()), "{quantile}: {found:?}");
        }
    }

    #[test]
    fn out_of_range_values_are_clamped() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), Duration::ZERO);
        assert_eq!(histogram.mean(), Duration::ZERO);
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 2);
        assert!(histogram.max() >= Duration::from_secs(3600));
    }
}
