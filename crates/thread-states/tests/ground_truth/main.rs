//! The thread accounting against what is known from other sources: a thread's own CPU clock and stopwatch and, where
//! the kernel allows bpftrace, the scheduler's trace. Each workload runs on each kind of thread for which it makes
//! sense. The test `accuracy` prints the table of `docs/accuracy.md`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accuracy;
mod contention;
mod demand;
mod hosts;
mod lives;
mod own;
#[path = "../common/quiet.rs"]
mod quiet;
mod reference;
mod watch;
mod workers;
mod workloads;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Runs a test whose limits hold only if nothing else uses the CPUs: no other test of this process, nor another program.
fn alone(test: impl Fn()) {
    let _alone = no_other_test();
    quiet::on_quiet_machine(test);
}

fn no_other_test() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
