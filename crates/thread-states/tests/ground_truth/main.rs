//! The thread accounting against what is known otherwise of what a thread did: by its own CPU clock
//! and stopwatch, and by the scheduler where the kernel lets bpftrace tell. Each workload runs on each
//! kind of thread for which it makes sense. `docs/accuracy.md` has the table that `accuracy` prints.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accuracy;
mod demand;
mod hosts;
mod lives;
mod own;
mod reference;
mod watch;
mod workers;
mod workloads;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Each test has the machine to itself: side by side they would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
