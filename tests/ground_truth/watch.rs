//! What the accounting says while a workload runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use threadlab::thread_state::{Registry, State, Times};

/// What the accounting said of thread 0 while a workload ran, read 100 times a second meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accounted {
    pub(crate) times: Times,
    /// Nanoseconds.
    pub(crate) wall: u64,
    /// The worst reading: by how much the states did not sum to the wall time, as a part of it.
    pub(crate) sum_error: f64,
}

impl Accounted {
    pub(crate) fn share(&self, state: State) -> f64 {
        self.times[state] as f64 / self.wall as f64
    }
}

/// Reads thread 0 of the registry, has the workload begin, and reads on until `done`; asserts that no
/// state ever decreases.
pub(crate) fn watch(registry: &Registry, begin: impl FnOnce(), done: &AtomicBool) -> Accounted {
    let read = || registry.read().threads[0];
    let first = read();
    begin();
    let (mut last, mut sum_error) = (first, 0.0_f64);
    loop {
        // What came last is read after the end.
        let ended = done.load(Ordering::Acquire);
        let next = read();
        for state in State::ALL {
            assert!(
                next.times[state] >= last.times[state],
                "{state:?} decreased: {next:?} after {last:?}"
            );
        }
        let difference = next.times.total().abs_diff(next.wall);
        sum_error = sum_error.max(difference as f64 / next.wall as f64);
        last = next;
        if ended {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let mut times = Times::default();
    for state in State::ALL {
        times[state] = last.times[state] - first.times[state];
    }
    Accounted {
        times,
        wall: last.wall - first.wall,
        sum_error,
    }
}

/// Stores true when it is dropped, also by a panic, so that who waits for it does not wait for ever.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
