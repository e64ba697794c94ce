//! Durations of the tests, printed at the end: the next slow test is seen at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static TIMES: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

/// Measures a step from its creation until it is dropped, also if it panics.
pub struct Step {
    name: String,
    begin: Instant,
}

impl Step {
    pub fn begin(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            begin: Instant::now(),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((std::mem::take(&mut self.name), self.begin.elapsed()));
    }
}

/// Prints all steps, the longest first.
pub fn print() {
    let mut times = std::mem::take(&mut *TIMES.lock().unwrap_or_else(PoisonError::into_inner));
    times.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
    for (name, took) in times {
        eprintln!("{:6.1} s  {name}", took.as_secs_f64());
    }
}
