//! An open-loop load: requests are sent on schedule, whether or not earlier ones have got a response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;

/// A load that runs in the background.
pub struct Load {
    ends: Arc<AtomicBool>,
    sender: thread::JoinHandle<Vec<String>>,
}

impl Load {
    /// Starts to send requests to `url`, `rate` per second, each on a connection of its own.
    pub fn start(url: String, rate: f64) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let sender = thread::spawn(move || {
            let start = Instant::now();
            let send = |i: u32| {
                let due = start + Duration::from_secs_f64(f64::from(i) / rate);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let url = url.clone();
                thread::spawn(move || outcome(&url, due.duration_since(start)))
            };
            let goes_on = |_: &u32| !ended.load(Ordering::Relaxed);
            let requests: Vec<_> = (0..).take_while(goes_on).map(send).collect();
            let outcomes = requests
                .into_iter()
                .filter_map(|request| request.join().unwrap());
            outcomes.collect()
        });
        Self { ends, sender }
    }

    /// Ends the load, waits for all responses, and returns a line about each request that did not get a 200.
    pub fn lost(self) -> Vec<String> {
        self.ends.store(true, Ordering::Relaxed);
        self.sender.join().unwrap()
    }
}

/// Sends one request. Returns `None` if its response is a 200.
fn outcome(url: &str, due: Duration) -> Option<String> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let response = agent.get(url).call();
    let read = response.and_then(|mut response| response.body_mut().read_to_string());
    read.err()
        .map(|error| format!("sent at {:.2} s: {error}", due.as_secs_f64()))
}
