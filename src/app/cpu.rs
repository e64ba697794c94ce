//! Computation that uses a given amount of CPU time.

use std::hint::black_box;
use std::time::Duration;

/// Rounds of arithmetic between two clock reads: about 0.1 ms in a release build, so that the 0.5 µs
/// of a clock read are negligible.
const ROUNDS: u32 = 100_000;

/// Computes until the calling thread has used `time` of CPU time. Time in the run queue does not
/// count.
pub(super) fn compute(time: Duration) {
    let start = cpu_time();
    let mut state = 1;
    while cpu_time().saturating_sub(start) < time {
        for _ in 0..ROUNDS {
            state = black_box(step(state));
        }
    }
}

/// One step of a linear congruential generator (Knuth's MMIX constants). Each step depends on the
/// previous one, so neither compiler nor CPU can run several at once.
fn step(state: u64) -> u64 {
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

/// Returns the CPU time that the calling thread has used.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    // Not negative and below a second in its nanoseconds: the conversion cannot fail.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Returns wall-clock time. Other systems than Linux only need a working endpoint.
#[cfg(not(target_os = "linux"))]
fn cpu_time() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn uses_the_requested_cpu_time() {
        let time = Duration::from_millis(100);
        let before = cpu_time();
        compute(time);
        let used = cpu_time() - before;
        assert!(used >= time && used < time * 2, "{used:?}");
    }
}
