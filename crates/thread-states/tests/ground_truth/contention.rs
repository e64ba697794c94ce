//! Threads that compete for one CPU: waiting for it is runnable and never blocked, whichever moment a reading catches.
//!
//! Nothing here needs a quiet machine: other load only makes the waits longer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use thread_states::{InFlight, Nanos, Registry, State, ThreadReading};

use super::no_other_test;
use super::own::{compute, spin};
use super::watch::{Done, check_next};

/// Confines the calling thread to one CPU, the same for all threads.
fn pin() {
    let cpus = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| cpus.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
}

/// Runs `work` on a registered thread that shares its CPU with `others` busy loops. Calls `each` with every reading and
/// the one before, and returns what the thread was accounted for in the end.
fn beside_busy_loops(
    others: usize,
    pauses: &[u64],
    work: impl FnOnce() + Send,
    mut each: impl FnMut(&ThreadReading, &ThreadReading, Duration),
) -> ThreadReading {
    let (registry, done) = (Registry::new("test", []), AtomicBool::new(false));
    thread::scope(|scope| {
        // Also if a reading fails, the busy loops have to end.
        let _ended = Done(&done);
        for _ in 0..others {
            scope.spawn(|| {
                pin();
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        scope.spawn(|| {
            let _ended = Done(&done);
            pin();
            let _registration = registry.register(0, InFlight::new());
            work();
        });
        let read = || registry.read().threads.first().copied();
        let mut last = loop {
            if let Some(reading) = read() {
                break (reading, Instant::now());
            }
            thread::sleep(Duration::from_millis(1));
        };
        for pause in pauses.iter().cycle() {
            if done.load(Ordering::Acquire) {
                break;
            }
            thread::sleep(Duration::from_millis(*pause));
            let next = read().unwrap();
            let now = Instant::now();
            check_next(&last.0, &next);
            assert_eq!(next.times.total(), next.wall);
            each(&last.0, &next, now - last.1);
            last = (next, now);
        }
    });
    registry.read().threads[0]
}

#[test]
fn a_spin_beside_busy_loops_is_never_blocked() {
    const SLEEP: Duration = Duration::from_millis(1);
    let _alone = no_other_test();
    for load in [2, 4, 8] {
        // Readings far apart and close together, so that they come before and after the thread gets its CPU.
        let pauses = [1, 3, 7, 20, 50, 100];
        let work = || {
            // The thread has slept since its counters were read, so that it may have been blocked.
            thread::sleep(SLEEP);
            spin(Duration::from_millis(1_500));
        };
        let end = beside_busy_loops(load - 1, &pauses, work, |_, _, _| {});
        let blocked = Duration::from(end.times[State::Blocked]).saturating_sub(SLEEP);
        let wall = Duration::from(end.wall);
        assert!(blocked <= wall / 200, "load {load}: {end:?}");
        let busy = end.times[State::Running] + end.times[State::Runnable];
        assert!(
            Duration::from(busy) >= Duration::from_millis(1_490),
            "{end:?}"
        );
    }
}

#[test]
fn a_block_beside_busy_loops_advances_at_every_reading() {
    let _alone = no_other_test();
    let mut readings = 0;
    let work = || thread::sleep(Duration::from_secs(1));
    let end = beside_busy_loops(3, &[50], work, |before, after, between| {
        if [before, after].map(|reading| reading.state) == [Some(State::Blocked); 2] {
            readings += 1;
            let gain = after.times[State::Blocked] - before.times[State::Blocked];
            let gain = Duration::from(gain);
            // The two moments are those of the readings, to what these take on a busy machine.
            let least = between.saturating_sub(Duration::from_millis(40));
            assert!(gain >= least.min(between / 2), "{gain:?} of {between:?}");
        }
    });
    assert!(readings >= 5, "{readings} readings");
    let blocked = end.times[State::Blocked].as_secs_f64();
    assert!((0.99..1.02).contains(&blocked), "{end:?}");
}

#[test]
fn short_blocks_beside_busy_loops_are_as_long_as_they_were() {
    const BLOCKS: u32 = 100;
    const SLEEP: Duration = Duration::from_millis(5);
    let _alone = no_other_test();
    let work = || {
        for _ in 0..BLOCKS {
            thread::sleep(SLEEP);
            compute(Duration::from_millis(1));
        }
    };
    let end = beside_busy_loops(3, &[10, 30], work, |_, _, _| {});
    let blocked = Duration::from(end.times[State::Blocked]);
    // A timer may be late, but a thread that waits for its CPU after that is not blocked.
    let range = BLOCKS * SLEEP * 97 / 100..=BLOCKS * SLEEP * 110 / 100;
    assert!(
        range.contains(&blocked),
        "{blocked:?}, not in {range:?}: {end:?}"
    );
    assert!(end.times[State::Runnable] > Nanos::ZERO);
}
