//! Simulation of a synchronous server with one thread per replica, and of the autoscaler that sets their number.
//!
//! The autoscaler follows Kubernetes' documentation ("Horizontal Pod Autoscaling", "Algorithm details"): every 15 s it
//! divides the sum of the metric by the target of one replica and rounds up. It ignores a deviation of up to 10 %, adds
//! at most four replicas or doubles their number, whichever is more, and removes one only if no recommendation of the
//! last 300 s needed it.
//!
//! A simplification: waiting requests form one queue. Behind nginx, a request that finds every replica busy waits at the
//! one that has the fewest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;

/// Seconds between two decisions, the default of Kubernetes' controller.
const SYNC_PERIOD: f64 = 15.0;
/// Relative deviation that the controller ignores.
const TOLERANCE: f64 = 0.1;
/// Seconds for which a recommendation keeps the number of replicas up.
const STABILIZATION: f64 = 300.0;
/// Seconds over which the metric is averaged, as in `deploy/kubernetes/autoscaling`.
const WINDOW: f64 = 30.0;
/// Seconds from a decision until a new replica gets requests: its start, and the age of nginx's DNS response.
const START: f64 = 30.0;
/// Limits of `deploy/kubernetes/autoscaling`.
const MIN: usize = 1;
const MAX: usize = 20;
/// Target of one replica, as a share of its CPU request or of its thread.
const TARGET: f64 = 0.7;
/// CPU request of a replica in `deploy/kubernetes/base`, in CPUs.
const CPU_REQUEST: f64 = 0.1;

/// Requests per second, from a time on, in seconds.
const RATES: [(f64, f64); 3] = [(0.0, 2.0), (300.0, 20.0), (900.0, 2.0)];
/// End of the load, in seconds.
const END: f64 = 1500.0;

/// Time for which a request holds its thread, in seconds.
#[derive(Clone, Copy)]
struct Work {
    cpu: f64,
    blocked: f64,
}

/// A request that waits, such as one that queries a database: 200 ms, of which 2 ms are CPU time.
const WAITS: Work = Work {
    cpu: 0.002,
    blocked: 0.198,
};
/// A request that computes.
const COMPUTES: Work = Work {
    cpu: 0.2,
    blocked: 0.0,
};

/// Determines the number of replicas.
#[derive(Clone, Copy)]
enum Signal {
    /// CPU time, relative to the CPU request.
    Cpu,
    /// Threads that hold a request, and requests that wait for a thread.
    Threads,
    /// None: a fixed number.
    Fixed(usize),
}

/// Results of a run, for the clients and for the operator.
pub(crate) struct Outcome {
    /// Time that each request waited for a thread, in seconds, sorted.
    waits: Vec<f64>,
    /// Highest number of replicas.
    pub(crate) most: usize,
    /// Replicas, summed over the time.
    pub(crate) replica_minutes: f64,
}

impl Outcome {
    /// Returns the wait that the share `q` of the requests did not exceed.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let last = self.waits.len().saturating_sub(1);
        self.waits[((last as f64) * q).round() as usize]
    }

    /// Returns the share of requests that waited longer than a second.
    pub(crate) fn over_a_second(&self) -> f64 {
        let over = self.waits.iter().filter(|wait| **wait > 1.0).count();
        over as f64 / self.waits.len() as f64
    }
}

/// The rows of the table: load, signal, outcome.
pub(crate) fn outcomes() -> Vec<(&'static str, &'static str, Outcome)> {
    let mut rows = Vec::new();
    for (load, work) in [("waits", WAITS), ("computes", COMPUTES)] {
        for (name, signal) in [
            ("CPU time", Signal::Cpu),
            ("threads needed", Signal::Threads),
            ("none, 6 replicas", Signal::Fixed(6)),
        ] {
            rows.push((load, name, simulate(work, signal)));
        }
    }
    rows
}

/// The outcomes as a table in Markdown.
pub(crate) fn table() -> String {
    let mut text = String::from(
        "| a request | signal | most replicas | wait for a thread: median | p99 | over 1 s | replica-minutes |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (load, signal, outcome) in outcomes() {
        let _ = writeln!(
            text,
            "| {load} | {signal} | {} | {:.2} s | {:.2} s | {:.1} % | {:.0} |",
            outcome.most,
            outcome.quantile(0.5),
            outcome.quantile(0.99),
            100.0 * outcome.over_a_second(),
            outcome.replica_minutes,
        );
    }
    text
}

/// Arrival times of the requests: a Poisson process. The seed is fixed.
fn arrivals() -> VecDeque<f64> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut times = VecDeque::new();
    for (index, (from, rate)) in RATES.iter().enumerate() {
        let until = RATES.get(index + 1).map_or(END, |next| next.0);
        let mut time = *from;
        loop {
            time -= (1.0 - random.f64()).ln() / rate;
            if time >= until {
                break;
            }
            times.push_back(time);
        }
    }
    times
}

/// A time, in seconds, that can be sorted.
#[derive(Clone, Copy)]
struct Time(f64);

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Runs the load until each request has ended. Time passes in steps of 10 ms, between which nothing changes.
fn simulate(work: Work, signal: Signal) -> Outcome {
    const STEP: f64 = 0.01;
    let held = work.cpu + work.blocked;
    let mut arrivals = arrivals();
    let mut queue: VecDeque<f64> = VecDeque::new();
    let mut ends: BinaryHeap<Reverse<Time>> = BinaryHeap::new();
    let mut starting: VecDeque<f64> = VecDeque::new();
    let mut ready = match signal {
        Signal::Fixed(replicas) => replicas,
        Signal::Cpu | Signal::Threads => MIN,
    };
    let mut outcome = Outcome {
        waits: Vec::new(),
        most: ready,
        replica_minutes: 0.0,
    };
    // Busy threads and waiting requests of each step in the window.
    let mut window: VecDeque<(f64, f64)> = VecDeque::new();
    let mut recommendations: VecDeque<(f64, usize)> = VecDeque::new();
    let mut decided = 0.0;
    let mut now = 0.0;
    while !(arrivals.is_empty() && queue.is_empty() && ends.is_empty()) {
        while starting.front().is_some_and(|at| *at <= now) {
            starting.pop_front();
            ready += 1;
        }
        while ends.peek().is_some_and(|end| end.0.0 <= now) {
            ends.pop();
        }
        while let Some(arrived) = arrivals.pop_front_if(|at| *at <= now) {
            queue.push_back(arrived);
        }
        while ends.len() < ready
            && let Some(arrived) = queue.pop_front()
        {
            outcome.waits.push(now - arrived);
            ends.push(Reverse(Time(now + held)));
        }
        window.push_back((ends.len() as f64, queue.len() as f64));
        if window.len() as f64 * STEP > WINDOW {
            window.pop_front();
        }
        let replicas = ready + starting.len();
        if now - decided >= SYNC_PERIOD {
            decided = now;
            let busy = window.iter().map(|step| step.0).sum::<f64>() / window.len() as f64;
            let waiting = window.iter().map(|step| step.1).sum::<f64>() / window.len() as f64;
            let total = match signal {
                Signal::Cpu => busy * (work.cpu / held) / CPU_REQUEST,
                Signal::Threads => busy + waiting,
                // As much as these replicas need.
                Signal::Fixed(replicas) => TARGET * replicas as f64,
            };
            let wanted = decide(replicas, total, now, &mut recommendations);
            for _ in replicas..wanted {
                starting.push_back(now + START);
            }
            // Those that are still starting end first; a busy one ends after its request.
            let surplus = replicas.saturating_sub(wanted);
            let unstarted = surplus.min(starting.len());
            starting.truncate(starting.len() - unstarted);
            ready -= surplus - unstarted;
        }
        let replicas = ready + starting.len();
        outcome.most = outcome.most.max(replicas);
        outcome.replica_minutes += replicas as f64 * STEP / 60.0;
        now += STEP;
    }
    outcome.waits.sort_by(f64::total_cmp);
    outcome
}

/// The number of replicas that the autoscaler sets. `total` is the metric, summed over the replicas.
fn decide(
    replicas: usize,
    total: f64,
    now: f64,
    recommendations: &mut VecDeque<(f64, usize)>,
) -> usize {
    let ratio = total / (TARGET * replicas as f64);
    let wanted = if (ratio - 1.0).abs() <= TOLERANCE {
        replicas
    } else {
        (total / TARGET).ceil() as usize
    };
    let wanted = wanted.clamp(MIN, MAX);
    recommendations.push_back((now, wanted));
    while recommendations
        .front()
        .is_some_and(|(at, _)| now - at > STABILIZATION)
    {
        recommendations.pop_front();
    }
    if wanted > replicas {
        return wanted.min(replicas + replicas.max(4));
    }
    let highest = recommendations.iter().map(|(_, wanted)| *wanted).max();
    highest.unwrap_or(wanted).min(replicas)
}
