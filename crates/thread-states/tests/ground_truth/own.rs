//! What a workload notes of itself, by other means than the accounting.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The CPU time of the calling thread.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Computes for this much CPU time, however long that takes.
pub(crate) fn compute(cpu: Duration) {
    let begun = cpu_time();
    while cpu_time() - begun < cpu {}
}

/// Computes until this much time has passed.
pub(crate) fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {}
}

/// A wait: as long as was asked for, and perhaps longer, until the thread got a CPU again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wait {
    pub(crate) asked: Duration,
    pub(crate) lasted: Duration,
}

impl Wait {
    fn add(&mut self, asked: Duration, lasted: Duration) {
        self.asked += asked;
        self.lasted += lasted;
    }
}

/// The workload's own account: its thread's CPU clock, and a stopwatch for its waits.
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

    /// To be called on the thread that began it.
    pub(crate) fn end(mut self) -> Self {
        self.cpu = cpu_time() - self.cpu_begun;
        self.wall = self.begun.elapsed();
        self
    }

    /// Blocks the thread; at least for as long as was asked.
    pub(crate) fn block(&mut self, asked: Duration, work: impl FnOnce()) {
        let begun = Instant::now();
        work();
        self.blocked.add(asked, begun.elapsed());
    }

    /// Blocks and computes in turn, and nobody knows for how long each.
    pub(crate) fn block_at_most(&mut self, work: impl FnOnce()) {
        let (begun, cpu) = (Instant::now(), cpu_time());
        work();
        let computed = cpu_time() - cpu;
        let lasted = begun.elapsed().saturating_sub(computed);
        self.blocked.add(Duration::ZERO, lasted);
    }

    /// Awaits something that takes at least as long as was asked.
    pub(crate) async fn wait(&mut self, asked: Duration, work: impl Future<Output = ()>) {
        let begun = Instant::now();
        let cpu = cpu_time();
        work.await;
        let computed = cpu_time() - cpu;
        let lasted = begun.elapsed().saturating_sub(computed);
        self.awaited.add(asked.saturating_sub(computed), lasted);
    }
}
