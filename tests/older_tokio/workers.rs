//! The library's tests of workers, with an older tokio and without the feature `worker-index`.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

#[path = "../../crates/thread-states/tests/ground_truth/own.rs"]
mod own;
#[path = "../../crates/thread-states/tests/common/quiet.rs"]
mod quiet;
#[path = "../../crates/thread-states/tests/ground_truth/watch.rs"]
mod watch;
#[path = "../../crates/thread-states/tests/ground_truth/workers.rs"]
mod workers;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Runs one test at a time.
fn alone(test: impl Fn()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    quiet::on_quiet_machine(test);
}
