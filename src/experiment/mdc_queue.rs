//! The waiting time in an M/D/c queue: random arrivals (M), requests that all take the same time (D), `c` servers,
//! first come, first served.

/// Source of the formula, for reports.
pub(super) const SOURCE: &str = "M/D/c queue, exact: the number of requests in it follows from Crommelin's equations \
                                 (1932), and the distribution of their waiting time from that number (G. J. Franx, A \
                                 simple solution for the M/D/c waiting time distribution, Operations Research Letters \
                                 29, 2001).";

/// States beyond the servers that are considered, for a queue at 0 % load. The probability of longer queues decreases
/// with exp(-2 (1 - load)) per request, so this keeps what is left out below 1e-12.
const STATES: f64 = 20.0;
/// Change of the probabilities at which the iteration ends.
const ACCURACY: f64 = 1e-13;
const MAX_ITERATIONS: usize = 100_000;
/// Probability of a number of arrivals that is not considered.
const NEGLIGIBLE: f64 = 1e-18;

/// An M/D/c queue in its steady state. Times are in multiples of the time that a request takes.
#[derive(Debug)]
pub(super) struct MdcQueue {
    servers: usize,
    /// Busy servers on average.
    offered: f64,
    /// Probability that at most as many requests as the index are in the queue and on the servers.
    at_most: Vec<f64>,
}

impl MdcQueue {
    /// Computes the steady state of `servers` servers, of which `offered` are busy on average. There is none unless
    /// `offered` is below `servers`. Takes longer the closer the two are; meant for up to about a thousand servers and
    /// a load of 95 %. A [`CapacityPlan`](super::CapacityPlan), which also tries numbers of threads that are just enough,
    /// uses an approximation.
    pub(super) fn new(servers: usize, offered: f64) -> Option<Self> {
        let load = offered / servers as f64;
        if !(0.0..1.0).contains(&load) {
            return None;
        }
        let states = servers + (STATES / (1.0 - load)).ceil() as usize;
        let mut probabilities = poisson(offered, states);
        let likely = probabilities.iter().rposition(|term| *term > NEGLIGIBLE);
        let arrivals = probabilities[..=likely.unwrap_or_default()].to_vec();
        for _ in 0..MAX_ITERATIONS {
            let next = after_one_service(servers, &probabilities, &arrivals);
            let pairs = next.iter().zip(&probabilities);
            let change = pairs
                .map(|(new, old)| (new - old).abs())
                .fold(0.0, f64::max);
            probabilities = next;
            if change < ACCURACY {
                break;
            }
        }
        let at_most = probabilities.iter().scan(0.0, |sum, probability| {
            *sum += probability;
            Some(*sum)
        });
        Some(Self {
            servers,
            offered,
            at_most: at_most.collect(),
        })
    }

    /// Returns the waiting time at `quantile` (0 to 1, exclusive).
    pub(super) fn wait(&self, quantile: f64) -> f64 {
        if self.waits_at_most(0.0) >= quantile {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        while self.waits_at_most(high) < quantile {
            (low, high) = (high, high * 2.0);
        }
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if self.waits_at_most(middle) < quantile {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// Returns the probability that a request waits for at most `time`: Franx, theorem 1.
    fn waits_at_most(&self, time: f64) -> f64 {
        let services = time.floor() as usize + 1;
        let requests = services * self.servers;
        let arrivals = poisson(self.offered * (services as f64 - time), requests);
        let terms = arrivals.iter().enumerate();
        let terms =
            terms.map(|(n, probability)| self.queues_at_most(requests - n - 1) * probability);
        terms.sum()
    }

    /// Returns the probability that at most `length` requests are in the queue.
    fn queues_at_most(&self, length: usize) -> f64 {
        let index = self.servers + length;
        self.at_most.get(index).copied().unwrap_or(1.0)
    }
}

/// Returns the probabilities of 0 to `count - 1` events of a Poisson distribution.
fn poisson(mean: f64, count: usize) -> Vec<f64> {
    let mut term = (-mean).exp();
    let terms = (1..=count).map(|n| {
        let this = term;
        term *= mean / n as f64;
        this
    });
    terms.collect()
}

/// Returns the probabilities after the time that one request takes. Then all requests that were on a server have left,
/// up to `servers` requests from the queue are on a server, and new ones have arrived (Crommelin).
fn after_one_service(servers: usize, probabilities: &[f64], arrivals: &[f64]) -> Vec<f64> {
    let mut next = vec![0.0; probabilities.len()];
    for (requests, probability) in probabilities.iter().enumerate() {
        let left = requests.saturating_sub(servers);
        for (state, arrived) in next[left..].iter_mut().zip(arrivals) {
            *state += probability * arrived;
        }
    }
    // The sum is below 1 by the probability of the states that are left out.
    let sum: f64 = next.iter().sum();
    next.iter().map(|state| state / sum).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::schedule::Schedule;
    use super::super::simulated_queue::SimulatedQueue;
    use super::*;

    fn queue(servers: usize, load: f64) -> MdcQueue {
        MdcQueue::new(servers, servers as f64 * load).unwrap()
    }

    /// One server: the distribution that A. K. Erlang published in 1909.
    fn erlang(load: f64, time: f64) -> f64 {
        let terms = (0..=time.floor() as i32).map(|n| {
            let rest = load * (f64::from(n) - time);
            let factorial: f64 = (1..=n).map(f64::from).product();
            rest.powi(n) / factorial * (-rest).exp()
        });
        (1.0 - load) * terms.sum::<f64>()
    }

    /// Mean waiting time by the formula of F. Pollaczek and C. D. Crommelin, which does not use the number of requests.
    fn pollaczek(servers: usize, load: f64) -> f64 {
        let mut sum = 0.0;
        for k in 1.. {
            let (first, mean) = (k * servers, (k * servers) as f64 * load);
            // Logarithms, because the factors overflow.
            let logarithm = (1..=first).map(|n| (mean / n as f64).ln()).sum::<f64>() - mean;
            let mut term = logarithm.exp();
            let (at_first, mut tail) = (term, 0.0);
            for n in first + 1.. {
                tail += term;
                term *= mean / n as f64;
                if term <= 1e-17 * at_first {
                    break;
                }
            }
            sum += tail - (tail - at_first) / load;
            if tail < 1e-13 {
                break;
            }
        }
        sum
    }

    #[test]
    fn one_server_has_erlangs_distribution() {
        for load in [0.3, 0.5, 0.8, 0.9] {
            let queue = queue(1, load);
            for time in [0.0, 0.4, 1.0, 1.7, 3.5, 6.0] {
                let (found, published) = (queue.waits_at_most(time), erlang(load, time));
                assert!(
                    (found - published).abs() < 1e-9,
                    "{load}, {time}: {found}, {published}"
                );
            }
        }
    }

    #[test]
    fn mean_wait_matches_the_formula_of_pollaczek_and_crommelin() {
        // Also the values of these formulas to four digits, which show that the formulas were copied correctly.
        for (servers, load, expected) in [
            (1, 0.5, 0.5),
            (1, 0.8, 2.0),
            (2, 0.5, 0.1767),
            (5, 0.8, 0.2891),
            (10, 0.9, 0.3446),
            (20, 0.8, 0.0359),
        ] {
            let queue = queue(servers, load);
            // Little's law: the mean length of the queue is the rate times the mean wait.
            let longer = queue.at_most[servers..].iter().map(|at_most| 1.0 - at_most);
            let mean = longer.sum::<f64>() / queue.offered;
            let published = pollaczek(servers, load);
            assert!(
                (mean - published).abs() < 1e-8,
                "{servers}, {load}: {mean}, {published}"
            );
            assert!((mean - expected).abs() < 5e-5, "{servers}, {load}: {mean}");
        }
    }

    #[test]
    fn quantiles_match_a_simulated_queue() {
        let service = Duration::from_millis(100);
        for (servers, load) in [(1, 0.8), (5, 0.8), (20, 0.9)] {
            let rate = servers as f64 * load / service.as_secs_f64();
            let schedule = Schedule::poisson(rate, Duration::from_secs_f64(100_000.0 / rate));
            let simulated = SimulatedQueue::new(&schedule, servers, service);
            let queue = queue(servers, load);
            for quantile in [0.5, 0.95, 0.99] {
                let simulated = simulated.latency(quantile) / service.as_secs_f64();
                let formula = 1.0 + queue.wait(quantile);
                let off = formula / simulated - 1.0;
                assert!(
                    off.abs() < 0.05,
                    "{servers}, {load}, {quantile}: {formula}, {simulated}"
                );
            }
        }
    }

    #[test]
    fn there_is_no_steady_state_at_or_above_full_load() {
        for offered in [5.0, 6.0, -1.0, f64::NAN] {
            assert!(MdcQueue::new(5, offered).is_none(), "{offered}");
        }
        assert!(MdcQueue::new(0, 0.0).is_none());
        assert_eq!(MdcQueue::new(5, 0.0).unwrap().wait(0.99), 0.0);
    }
}
