//! When requests are to be sent: an open loop decides that before the first one is sent, so a slow
//! server cannot slow down its clients and so hide how slow it is.

use std::time::Duration;

/// The times of sending, counted from the start, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<Duration>);

/// Every run draws the same times.
const SEED: u64 = 20;

impl Schedule {
    /// One request every `1 / rate` seconds for as long as `length`, the first after half of that.
    #[must_use]
    pub fn even(rate: f64, length: Duration) -> Self {
        let gap = 1.0 / rate;
        let times = (0..).map(|i| gap * (f64::from(i) + 0.5));
        Self::until(length, times)
    }

    /// Independent clients: exponentially distributed gaps (a Poisson process) of `rate` requests a
    /// second on average, for as long as `length`. The same at every call.
    #[must_use]
    pub fn poisson(rate: f64, length: Duration) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let times = std::iter::repeat_with(|| -(1.0 - random.f64()).ln() / rate);
        let times = times.scan(0.0, |now, gap| {
            *now += gap;
            Some(*now)
        });
        Self::until(length, times)
    }

    fn until(length: Duration, times: impl Iterator<Item = f64>) -> Self {
        let length = length.as_secs_f64();
        let times = times.take_while(|time| *time < length);
        Self(times.map(Duration::from_secs_f64).collect())
    }

    /// The times of sending, counted from the start, in their order.
    #[must_use]
    pub fn times(&self) -> &[Duration] {
        &self.0
    }

    /// The latencies that these requests have before `servers` threads which each hold one request
    /// for `held`, first come, first served: a queue without any other cost.
    #[must_use]
    pub fn latencies(&self, servers: usize, held: Duration) -> Vec<Duration> {
        // When each thread is free again. The next request goes to the first that is.
        let mut free = vec![Duration::ZERO; servers.max(1)];
        let latency = |sent: &Duration| {
            free.sort_unstable();
            let end = free[0].max(*sent) + held;
            free[0] = end;
            end - *sent
        };
        self.0.iter().map(latency).collect()
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
    fn even_requests_have_equal_gaps() {
        let schedule = Schedule::even(50.0, Duration::from_secs(4));
        assert_eq!(schedule.times().len(), 200);
        assert!(gaps(&schedule).iter().all(|gap| (gap - 0.02).abs() < 1e-6));
    }

    /// Gaps of a Poisson process have equal mean and standard deviation, and 1/e of them are longer
    /// than the mean.
    #[test]
    fn independent_requests_have_exponential_gaps() {
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
    fn every_run_draws_the_same() {
        let draw = || Schedule::poisson(10.0, Duration::from_secs(60));
        assert_eq!(draw(), draw());
        assert!(draw().times().is_sorted());
    }

    #[test]
    fn one_thread_serves_one_after_the_other() {
        let second = Duration::from_secs(1);
        let schedule = Schedule(vec![Duration::ZERO, Duration::ZERO, 5 * second]);
        assert_eq!(schedule.latencies(1, second), [second, 2 * second, second]);
        assert_eq!(schedule.latencies(2, second), [second; 3]);
    }

    /// Half loaded, one server with a fixed service time makes requests wait half of that on
    /// average (Pollaczek and Khinchine).
    #[test]
    fn the_queue_is_that_of_the_theory() {
        let schedule = Schedule::poisson(0.5, Duration::from_secs(200_000));
        let latencies = schedule.latencies(1, Duration::from_secs(1));
        let mean =
            latencies.iter().map(Duration::as_secs_f64).sum::<f64>() / latencies.len() as f64;
        assert!((mean - 1.5).abs() < 0.03, "{mean}");
    }
}
