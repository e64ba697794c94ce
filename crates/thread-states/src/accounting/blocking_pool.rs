//! Calls that are handed to tokio's blocking pool, with their waits.
//!
//! tokio counts the calls that wait, but not in its stable API, and it does not measure their waits. So both are
//! measured around `spawn_blocking`, for the calls that go through [`spawn_blocking`].

use std::sync::Arc;

use tokio::task::{self, JoinHandle};

use super::blocking_calls::QueuedCall;
use super::clock::{self, Clock};

/// Runs a call that blocks on the runtime's blocking pool, as [`tokio::task::spawn_blocking`] does. If the calling thread
/// is registered, the time that the call waits for a thread of the pool counts for its server:
/// `blocking_pool_queued_calls` and `blocking_pool_wait_seconds`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let sum = thread_states::spawn_blocking(|| (1..=4).sum::<u32>()).await?;
/// assert_eq!(sum, 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
///
/// Panics outside of a tokio runtime.
pub fn spawn_blocking<F, R>(call: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let calls = |clock: &mut Clock| Arc::clone(clock.blocking_calls());
    let Some(calls) = clock::with(calls) else {
        return task::spawn_blocking(call);
    };
    let queued = QueuedCall::new(calls);
    task::spawn_blocking(move || {
        queued.start();
        call()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::super::registry::Registry;
    use super::*;

    #[test]
    fn calls_are_queued_until_a_thread_of_the_pool_takes_them() {
        let registry = Registry::new("test", []);
        let _registration = registry.register_current_thread();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let (end, ended) = mpsc::channel::<()>();
        let _entered = runtime.enter();
        let first = spawn_blocking(move || ended.recv());
        let second = spawn_blocking(|| 7);
        let calls = registry.blocking_calls();
        // The first one starts at once, on a thread that has to start.
        while calls.queued() > 1 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!((calls.queued(), calls.waits().count), (1, 1));
        thread::sleep(Duration::from_millis(50));
        end.send(()).unwrap();
        assert_eq!(runtime.block_on(second).unwrap(), 7);
        assert!(runtime.block_on(first).unwrap().is_ok());
        let waits = calls.waits();
        assert_eq!((calls.queued(), waits.count), (0, 2));
        assert!(
            Duration::from(waits.sum) >= Duration::from_millis(50),
            "{waits:?}"
        );
    }

    #[test]
    fn calls_that_a_runtime_drops_are_no_longer_queued() {
        let registry = Registry::new("test", []);
        let _registration = registry.register_current_thread();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let _entered = handle.enter();
        drop(spawn_blocking(|| ()));
        let calls = registry.blocking_calls();
        assert_eq!((calls.queued(), calls.waits().count), (0, 0));
    }
}
