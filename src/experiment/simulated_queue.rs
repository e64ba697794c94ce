//! A simulated first-come, first-served queue, from which experiments predict latencies and throughput.

use std::time::Duration;

use super::schedule::Schedule;

/// Requests of a schedule, served by threads or connections that each hold one request for the same time. Nothing else
/// costs time in it.
#[derive(Debug, PartialEq)]
pub(super) struct SimulatedQueue {
    /// Send time and latency of each request, by ascending send time.
    requests: Vec<(Duration, Duration)>,
}

impl SimulatedQueue {
    /// Simulates `servers` threads or connections, at least one, that hold each request for `held`.
    pub(super) fn new(schedule: &Schedule, servers: usize, held: Duration) -> Self {
        // Times at which the servers become free. The next request goes to the earliest.
        let mut free = vec![Duration::ZERO; servers.max(1)];
        let request = |sent: &Duration| {
            free.sort_unstable();
            let end = free[0].max(*sent) + held;
            free[0] = end;
            (*sent, end - *sent)
        };
        Self {
            requests: schedule.times().iter().map(request).collect(),
        }
    }

    /// Returns the number of responses up to `length`.
    pub(super) fn in_time(&self, length: Duration) -> usize {
        self.ends().filter(|end| *end <= length).count()
    }

    /// Returns the time of the last response; zero without requests.
    pub(super) fn end(&self) -> Duration {
        self.ends().max().unwrap_or_default()
    }

    /// Returns the time of each response.
    pub(super) fn ends(&self) -> impl Iterator<Item = Duration> {
        self.requests.iter().map(|(sent, latency)| *sent + *latency)
    }

    /// Returns the mean latency in seconds; zero without requests.
    pub(super) fn mean_latency(&self) -> f64 {
        let latencies = self.requests.iter().map(|(_, latency)| latency);
        let sum: Duration = latencies.sum();
        sum.as_secs_f64() / self.requests.len().max(1) as f64
    }

    /// Returns the latency in seconds at `quantile` (0 to 1); zero without requests.
    pub(super) fn latency(&self, quantile: f64) -> f64 {
        let latencies = self.requests.iter().map(|(_, latency)| *latency);
        let mut latencies: Vec<Duration> = latencies.collect();
        latencies.sort_unstable();
        let rank = (latencies.len() as f64 * quantile).ceil() as usize;
        let latency = latencies.get(rank.saturating_sub(1));
        latency.copied().unwrap_or_default().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn latencies(queue: &SimulatedQueue) -> Vec<Duration> {
        queue.requests.iter().map(|request| request.1).collect()
    }

    #[test]
    fn one_thread_serves_requests_one_after_the_other() {
        let schedule = Schedule::at(vec![Duration::ZERO, Duration::ZERO, 5 * SECOND]);
        let one = SimulatedQueue::new(&schedule, 1, SECOND);
        assert_eq!(latencies(&one), [SECOND, 2 * SECOND, SECOND]);
        let two = SimulatedQueue::new(&schedule, 2, SECOND);
        assert_eq!(latencies(&two), [SECOND; 3]);
        assert_eq!((one.in_time(SECOND), two.in_time(SECOND)), (1, 2));
        assert_eq!((one.in_time(6 * SECOND), one.end()), (3, 6 * SECOND));
        assert!((one.mean_latency() - 4.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn quantiles_are_latencies_of_requests() {
        let schedule = Schedule::at(vec![Duration::ZERO; 100]);
        let queue = SimulatedQueue::new(&schedule, 1, SECOND);
        let quantiles = [0.0, 0.01, 0.5, 0.99, 1.0].map(|quantile| queue.latency(quantile));
        assert_eq!(quantiles, [1.0, 1.0, 50.0, 99.0, 100.0]);
        let empty = SimulatedQueue::new(&Schedule::at(Vec::new()), 1, SECOND);
        assert_eq!((empty.latency(0.99), empty.mean_latency()), (0.0, 0.0));
    }

    /// M/D/1 queue: at a load of 0.5 the mean time in the queue is half of the service time.
    #[test]
    fn mean_latency_matches_the_pollaczek_khinchine_formula() {
        let schedule = Schedule::poisson(0.5, Duration::from_secs(200_000));
        let mean = SimulatedQueue::new(&schedule, 1, SECOND).mean_latency();
        assert!((mean - 1.5).abs() < 0.03, "{mean}");
    }
}
