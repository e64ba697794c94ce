//! Lanes: the tests of a lane run one after another, beside those of the other lanes. They mostly wait.

use std::cell::RefCell;
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use crate::stack::Stack;
use crate::times::Step;

/// Held for reading by each test that runs, and for writing by one that others would disturb.
static RUNNING: RwLock<()> = RwLock::new(());

thread_local! {
    static OWN: RefCell<Option<RwLockReadGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Tests that start stacks of their own, or that need none.
pub struct Lane(Mutex<()>);

impl Lane {
    pub const fn new() -> Self {
        Self(Mutex::new(()))
    }

    /// Runs a test when no other one of this lane runs.
    pub fn run(&self, name: &str, test: fn()) {
        let _turn = locked(&self.0);
        counted(name, test);
    }
}

/// Tests that share a stack, which the first of them starts.
pub struct SharedStack {
    name: &'static str,
    stack: Mutex<Option<Stack>>,
}

impl SharedStack {
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            stack: Mutex::new(None),
        }
    }

    /// Runs a test when no other one uses this stack: all services healthy, one replica each.
    pub fn run(&self, name: &str, test: fn(&Stack)) {
        let mut stack = locked(&self.stack);
        let stack = &mut *stack;
        counted(name, || {
            stack.get_or_insert_with(|| Stack::up(self.name)).with(test);
        });
    }

    /// Removes the stack.
    pub fn remove(&self) {
        drop(locked(&self.stack).take());
    }
}

/// Returns the guard also after a failed test, which leaves a stack that the next one resets.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a test among those that run, and measures its time. It runs on a thread with its name, which is in the messages
/// of tests that run at the same time.
fn counted(name: &str, test: impl FnOnce() + Send) {
    /// Ends also a test that panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            OWN.take();
        }
    }
    let run = || {
        OWN.set(Some(reading()));
        let _end = End;
        let _step = Step::begin(name);
        test();
    };
    let ended = thread::scope(|scope| {
        let named = thread::Builder::new().name(name.to_owned());
        named.spawn_scoped(scope, run).unwrap().join()
    });
    if let Err(failure) = ended {
        panic::resume_unwind(failure);
    }
}

/// Continues the calling test when no other test runs, and lets none start meanwhile.
pub fn alone<T>(part: impl FnOnce() -> T) -> T {
    // Two tests that wait for each other would never continue.
    OWN.take();
    let result = {
        let _writing = RUNNING.write().unwrap_or_else(PoisonError::into_inner);
        part()
    };
    OWN.set(Some(reading()));
    result
}

fn reading() -> RwLockReadGuard<'static, ()> {
    RUNNING.read().unwrap_or_else(PoisonError::into_inner)
}
