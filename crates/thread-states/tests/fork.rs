//! A child process that was forked has none of its parent's threads, requests and times.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use thread_states::{InFlight, Metrics, Nanos, hold};

/// Forks, and returns the exit status of the child, which is the number that `child` returns.
#[allow(unsafe_code)]
fn status_of_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `child` alone, which uses nothing that another thread of the parent has locked,
    // and ends without the parent's destructors.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let status = child();
        // SAFETY: it ends the process at once.
        unsafe { libc::_exit(status) };
    }
    assert!(pid > 0);
    let mut status = 0;
    // SAFETY: `status` is valid for the write.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "killed by a signal: {status}");
    libc::WEXITSTATUS(status)
}

#[test]
fn a_forked_child_has_no_threads_and_requests_of_its_parent() {
    let metrics = Metrics::new("shop");
    let registry = metrics.threads();
    let (end, ended) = mpsc::channel::<()>();
    let (ready, readied) = mpsc::channel();
    let request = registry.in_flight().enter();
    thread::scope(|scope| {
        scope.spawn(move || {
            let _registration = registry.register(3, InFlight::new());
            let _hold = hold(registry.routes().index("/report"));
            ready.send(()).unwrap();
            let _ = ended.recv();
        });
        readied.recv().unwrap();
        let _registration = registry.register_current_thread();
        thread::sleep(Duration::from_millis(20));
        assert_eq!(registry.read().threads.len(), 2);

        let status = status_of_child(|| {
            let reading = registry.read();
            if !reading.threads.is_empty() {
                return 1;
            }
            if reading
                .routes
                .iter()
                .any(|route| route.held.blocked > Nanos::ZERO)
            {
                return 2;
            }
            if registry.requests_in_flight() != 0 {
                return 3;
            }
            // Its own thread counts from its registration on.
            let _registration = registry.register_current_thread();
            let [thread] = registry.read().threads[..] else {
                return 4;
            };
            if thread.index != 0 || thread.wall > Nanos::from_secs(10) {
                return 5;
            }
            let ours = format!("pid=\"{}\"", std::process::id());
            if !metrics.encode().contains(&ours) {
                return 6;
            }
            42
        });
        assert_eq!(status, 42);

        // The parent has them all.
        assert_eq!(registry.read().threads.len(), 2);
        assert_eq!(registry.requests_in_flight(), 1);
        drop(end);
    });
    drop(request);
}
