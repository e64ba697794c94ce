//! A thread that takes the CPU of the servers, so that requests queue.

use std::hint;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

use crate::cpu::Cpus;

/// Thread that computes on the servers' CPU on request. Servers with a lower priority hardly run meanwhile. It runs until
/// the process ends.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct State {
    wanted: AtomicBool,
    holds: AtomicBool,
}

impl State {
    fn run(&self) {
        loop {
            while !self.wanted.load(Ordering::Acquire) {
                thread::park();
            }
            self.holds.store(true, Ordering::Release);
            while self.wanted.load(Ordering::Acquire) {
                hint::spin_loop();
            }
            self.holds.store(false, Ordering::Release);
        }
    }
}

impl Hold {
    pub(crate) fn start(cpus: &Cpus) -> io::Result<Self> {
        let state = Arc::<State>::default();
        let run = {
            let state = Arc::clone(&state);
            move || state.run()
        };
        let builder = thread::Builder::new().name("hold".into());
        let handle = cpus.as_server(|| builder.spawn(run))??;
        Ok(Self {
            state,
            thread: handle.thread().clone(),
        })
    }

    /// Takes the CPU while `queue` runs.
    pub(crate) fn during<T>(&self, queue: impl FnOnce() -> T) -> T {
        self.set(true);
        let queued = queue();
        self.set(false);
        queued
    }

    /// Begins or ends the hold, and waits until it has.
    fn set(&self, wanted: bool) {
        self.state.wanted.store(wanted, Ordering::Release);
        self.thread.unpark();
        while self.state.holds.load(Ordering::Acquire) != wanted {
            // With one CPU only, it needs that.
            thread::yield_now();
        }
    }
}
