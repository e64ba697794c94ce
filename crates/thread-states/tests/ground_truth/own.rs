//! A workload's own measurement, by other means than the accounting.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The CPU time of the calling thread.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Computes for this much CPU time.
pub(crate) fn compute(cpu: Duration) {
    let begun = cpu_time();
    while cpu_time() - begun < cpu {}
}

/// Computes for this much wall time.
pub(crate) fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {}
}

/// A wait: the requested duration and the actual one, which includes the delay until the thread had a CPU again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wait {
    pub(crate) requested: Duration,
    pub(crate) lasted: Duration,
}

impl Wait {
    fn add(&mut self, requested: Duration, lasted: Duration) {
        self.requested += requested;
        self.lasted += lasted;
    }
}

/// A workload's own measurement: its thread's CPU clock, and a stopwatch for its waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    begun: Instant,
    cpu_begun: Duration,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) blocked: Wait,
    pub(crate) awaited: Wait,
}

impl Own {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            cpu_begun: cpu_time(),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            blocked: Wait::default(),
            awaited: Wait::default(),
        }
    }

    /// Ends the measurement. To be called on the thread that began it.
    pub(crate) fn end(mut self) -> Self {
        self.cpu = cpu_time() - self.cpu_begun;
        self.wall = self.begun.elapsed();
        self
    }

    /// Blocks the thread for at least the requested time.
    pub(crate) fn block(&mut self, requested: Duration, work: impl FnOnce()) {
        let begun = Instant::now();
        work();
        self.blocked.add(requested, begun.elapsed());
    }

    /// Runs work that blocks and computes by turns, in unknown parts.
    pub(crate) fn block_at_most(&mut self, work: impl FnOnce()) {
        let (begun, cpu) = (Instant::now(), cpu_time());
        work();
        let computed = cpu_time() - cpu;
        let lasted = begun.elapsed().saturating_sub(computed);
        self.blocked.add(Duration::ZERO, lasted);
    }

    /// Awaits work that takes at least the requested time.
    pub(crate) async fn wait(&mut self, requested: Duration, work: impl Future<Output = ()>) {
        let begun = Instant::now();
        let cpu = cpu_time();
        work.await;
        let computed = cpu_time() - cpu;
        let lasted = begun.elapsed().saturating_sub(computed);
        self.awaited.add(requested.saturating_sub(computed), lasted);
    }
}
