//! Send times of requests. An open loop decides them before it sends the first request, so that a slow
//! server cannot slow down its clients and thereby hide how slow it is.

use std::time::Duration;

/// Send times in ascending order, counted from the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<Duration>);

/// Seed of the random generator: fixed, so that every run has the same send times.
const SEED: u64 = 20;

impl Schedule {
    /// Returns one request every `1 / rate` seconds for `length`, the first after half of that interval.
    #[must_use]
    pub fn even(rate: f64, length: Duration) -> Self {
        let gap = 1.0 / rate;
        let times = (0..).map(|i| gap * (f64::from(i) + 0.5));
        Self::until(length, times)
    }

    /// Returns the arrivals of independent clients, `rate` requests per second on average for `length`: a
    /// Poisson process, whose gaps are exponentially distributed. The same at every call.
    #[must_use]
    pub fn poisson(rate: f64, length: Duration) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        // Inverse transform sampling of the exponential distribution.
        let times = std::iter::repeat_with(|| -(1.0 - random.f64()).ln() / rate);
        let times = times.scan(0.0, |now, gap| {
            *now += gap;
            Some(*now)
        });
        Self::until(length, times)
    }

    /// Returns `count` arrivals of independent clients within `length`: a Poisson process, given their number, in which
    /// each time is equally likely. Its rate is not subject to chance, as that of a short [`Schedule::poisson`] is.
    /// The same at every call.
    #[must_use]
    pub fn random(count: usize, length: Duration) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut times: Vec<Duration> = (0..count).map(|_| length.mul_f64(random.f64())).collect();
        times.sort_unstable();
        Self(times)
    }

    fn until(length: Duration, times: impl Iterator<Item = f64>) -> Self {
        let length = length.as_secs_f64();
        let times = times.take_while(|time| *time < length);
        Self(times.map(Duration::from_secs_f64).collect())
    }

    /// Returns the send times in ascending order, counted from the start.
    #[must_use]
    pub fn times(&self) -> &[Duration] {
        &self.0
    }

    /// Returns a schedule with these times, which must ascend.
    #[cfg(test)]
    pub(super) fn at(times: Vec<Duration>) -> Self {
        Self(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(schedule: &Schedule) -> Vec<f64> {
        let times = schedule.times();
        times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
            .collect()
    }

    #[test]
    fn even_schedule_has_equal_gaps() {
        let schedule = Schedule::even(50.0, Duration::from_secs(4));
        assert_eq!(schedule.times().len(), 200);
        assert!(gaps(&schedule).iter().all(|gap| (gap - 0.02).abs() < 1e-6));
    }

    /// In a Poisson process the gaps' mean equals their standard deviation, and 1/e of them exceed the mean.
    #[test]
    fn poisson_schedule_has_exponential_gaps() {
        let schedule = Schedule::poisson(100.0, Duration::from_secs(1000));
        let gaps = gaps(&schedule);
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        let longer = gaps.iter().filter(|gap| **gap > mean).count() as f64 / count;
        assert!((mean * 100.0 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{variance}");
        assert!((longer - (-1.0_f64).exp()).abs() < 0.01, "{longer}");
    }

    #[test]
    fn poisson_schedule_is_the_same_at_every_call() {
        let draw = || Schedule::poisson(10.0, Duration::from_secs(60));
        assert_eq!(draw(), draw());
        assert!(draw().times().is_sorted());
    }

    /// Given their number, the arrivals of a Poisson process are uniformly distributed, and their gaps exponentially.
    #[test]
    fn random_schedule_has_its_number_of_requests_and_exponential_gaps() {
        let schedule = Schedule::random(100_000, Duration::from_secs(1000));
        assert_eq!(schedule.times().len(), 100_000);
        assert!(schedule.times().is_sorted());
        let gaps = gaps(&schedule);
        let longer = gaps.iter().filter(|gap| **gap > 0.01).count() as f64 / gaps.len() as f64;
        assert!((longer - (-1.0_f64).exp()).abs() < 0.01, "{longer}");
        let half = schedule.times()[50_000].as_secs_f64();
        assert!((half - 500.0).abs() < 5.0, "{half}");
        assert_eq!(
            schedule,
            Schedule::random(100_000, Duration::from_secs(1000))
        );
    }
}
