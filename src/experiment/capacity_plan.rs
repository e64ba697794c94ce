//! Capacity planning with the reader's own numbers: threads needed, and latencies by load.

use std::time::Duration;

use super::plural::plural;
use super::waits::short_wait;

/// A load to plan for.
#[derive(Debug, Clone, Copy)]
pub struct CapacityPlan {
    /// Requests per second.
    pub rate: f64,
    /// Time for which each request holds a thread.
    pub wait: Duration,
    /// Threads of the synchronous server.
    pub threads: usize,
    /// Largest acceptable 99th percentile of the latency, if there is one.
    pub target_p99: Option<Duration>,
}

/// Loads of the table, in percent of the capacity.
pub(super) const LOADS: [f64; 6] = [50.0, 70.0, 80.0, 90.0, 95.0, 110.0];
/// Most threads that are considered.
const MAX_THREADS: usize = 100_000;
/// Requests of each load, at least, so that a 99th percentile means something.
const MIN_REQUESTS: f64 = 300.0;
const MAX_LENGTH: Duration = Duration::from_secs(60);

pub(super) const SOURCE: &str = "M/D/c queue: the probability of waiting is Erlang's C formula (Erlang 1917); the waiting time is \
                      that of M/M/c, halved because all requests take the same time (Allen and Cunneen; A. O. Allen, \
                      Probability, Statistics, and Queueing Theory, 1990). Above 100 % there is no steady state: the \
                      queue grows for as long as the load lasts.";

impl CapacityPlan {
    /// Returns the requests per second that the threads can serve.
    pub(super) fn capacity(&self) -> f64 {
        self.threads as f64 / self.wait.as_secs_f64()
    }

    /// Returns the length of the load at `rate`.
    pub(super) fn length(&self, rate: f64, article_wait: Duration) -> Duration {
        let enough = Duration::from_secs_f64((MIN_REQUESTS / rate).min(MAX_LENGTH.as_secs_f64()));
        let length = short_wait(article_wait).max(enough).max(self.wait * 10);
        length.min(MAX_LENGTH)
    }

    /// Returns the expected duration of its experiment.
    pub(super) fn duration(&self, article_wait: Duration) -> Duration {
        let lengths = LOADS.map(|percent| {
            self.length(self.capacity() * percent / 100.0, article_wait) + self.wait
        });
        lengths.iter().sum()
    }

    /// Returns the smallest number of threads for which the formula meets the target.
    fn threads_needed(&self) -> Option<usize> {
        let target = self.target_p99.filter(|target| *target >= self.wait)?;
        let target = target.as_secs_f64();
        let offered = self.rate * self.wait.as_secs_f64();
        let fewest = offered.floor() as usize + 1;
        (fewest..=MAX_THREADS).find(|threads| latency(*threads, offered, self.wait, 0.99) <= target)
    }

    /// Describes the threads that the load needs.
    pub(super) fn advice(&self) -> String {
        let (rate, wait) = (self.rate, self.wait.as_secs_f64());
        let offered = rate * wait;
        let fewest = offered.floor() as usize + 1;
        let load = format!(
            "{rate} requests per second that each hold a thread for {wait} s keep {offered:.1} threads busy (Little's \
             law), so at least {} needed",
            if fewest == 1 {
                "1 thread is".to_owned()
            } else {
                format!("{fewest} threads are")
            }
        );
        let Some(target) = self.target_p99.map(|target| target.as_secs_f64()) else {
            return load;
        };
        match self.threads_needed() {
            Some(threads) => format!(
                "{load}; for a p99 of at most {target} s, {} by the formula",
                plural(threads, "thread")
            ),
            None => format!(
                "{load}; no number of threads reaches a p99 of {target} s, because the wait is longer"
            ),
        }
    }
}

/// Returns Erlang's C formula: the probability that a request finds all of `threads` busy, if `offered` are busy
/// on average. It must be below `threads`.
fn erlang_c(threads: usize, offered: f64) -> f64 {
    // The recursion of Erlang's B formula does not overflow as the factorials would.
    let blocking = (1..=threads).fold(1.0, |b, n| offered * b / (n as f64 + offered * b));
    let load = offered / threads as f64;
    blocking / (1.0 - load * (1.0 - blocking))
}

/// Returns the latency in seconds at `quantile` in an M/D/c queue, as [`SOURCE`] says.
pub(super) fn latency(threads: usize, offered: f64, wait: Duration, quantile: f64) -> f64 {
    let wait = wait.as_secs_f64();
    let ratio = erlang_c(threads, offered) / (1.0 - quantile);
    let mean = wait / (2.0 * (threads as f64 - offered));
    wait + mean * ratio.ln().max(0.0)
}

/// Returns the latency at `quantile` above capacity: the queue grows by `load - 1` seconds per second of `length`.
pub(super) fn overloaded(load: f64, wait: Duration, length: Duration, quantile: f64) -> f64 {
    wait.as_secs_f64() + (load - 1.0) * length.as_secs_f64() * quantile
}

#[cfg(test)]
mod tests {
    use super::super::latency_columns::QUANTILES;
    use super::super::schedule::Schedule;
    use super::super::simulated_queue::SimulatedQueue;
    use super::*;

    fn plan(target: f64) -> CapacityPlan {
        CapacityPlan {
            rate: 200.0,
            wait: Duration::from_millis(80),
            threads: 20,
            target_p99: Some(Duration::from_secs_f64(target)),
        }
    }

    #[test]
    fn erlang_c_matches_known_values() {
        // One thread: the probability of waiting is the load.
        assert!((erlang_c(1, 0.7) - 0.7).abs() < 1e-9);
        assert!((erlang_c(2, 1.0) - 1.0 / 3.0).abs() < 1e-9);
        // A table of Erlang C: 10 servers, 8 erlangs.
        assert!((erlang_c(10, 8.0) - 0.409).abs() < 1e-3);
    }

    /// The formula is an approximation; the simulation is what it approximates.
    #[test]
    fn formula_matches_a_simulated_queue() {
        for (threads, percent) in [(1, 50), (1, 90), (20, 80), (20, 95)] {
            let offered = threads as f64 * f64::from(percent) / 100.0;
            let wait = Duration::from_millis(80);
            let rate = offered / wait.as_secs_f64();
            let schedule = Schedule::poisson(rate, Duration::from_secs_f64(40_000.0 / rate));
            let simulated = SimulatedQueue::new(&schedule, threads, wait);
            for (_, quantile) in QUANTILES {
                let simulated = simulated.latency(quantile);
                let formula = latency(threads, offered, wait, quantile);
                let off = formula / simulated - 1.0;
                assert!(
                    off.abs() < 0.25,
                    "{threads} threads, {percent} %, {quantile}: {formula} against {simulated}"
                );
            }
        }
    }

    #[test]
    fn threads_needed_grow_with_a_stricter_target() {
        assert_eq!(plan(0.3).threads_needed(), Some(17));
        let strict = plan(0.085).threads_needed().unwrap();
        assert!((18..40).contains(&strict), "{strict}");
        assert_eq!(plan(0.05).threads_needed(), None);
        let advice = plan(0.3).advice();
        assert!(advice.contains("16.0 threads busy"), "{advice}");
        assert!(advice.ends_with("17 threads by the formula"), "{advice}");
    }
}
