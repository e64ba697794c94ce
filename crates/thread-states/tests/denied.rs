//! A service to which the kernel denies system calls (seccomp) goes on, whatever becomes of its metrics.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use libc::c_long;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use thread_states::Metrics;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower::ServiceExt;

/// The system calls of the accounting. `openat` and `read` are for the files in `/proc`.
const CALLS: [(&str, c_long); 8] = [
    ("clock_gettime", libc::SYS_clock_gettime),
    ("getrusage", libc::SYS_getrusage),
    ("gettid", libc::SYS_gettid),
    ("openat", libc::SYS_openat),
    ("pread64", libc::SYS_pread64),
    ("prctl", libc::SYS_prctl),
    ("getpid", libc::SYS_getpid),
    ("sched_getaffinity", libc::SYS_sched_getaffinity),
];

/// Set for the process that has a call denied: the number of the call, and when it is denied.
const DENIED: &str = "THREAD_STATES_TEST_DENIED";

#[test]
fn a_service_goes_on_whichever_call_is_denied() {
    for (name, call) in CALLS {
        for when in ["at first", "later"] {
            let child = Command::new(env::current_exe().unwrap())
                .args(["--exact", "the_service", "--ignored", "--nocapture"])
                .env(DENIED, format!("{call} {when}"))
                .output()
                .unwrap();
            let output = String::from_utf8_lossy(&child.stderr);
            let result = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success(), "{name} {when}: {output}{result}");
            assert!(result.contains("1 passed"), "{name} {when}: {result}");
        }
    }
}

/// Denies a call to all threads of this process.
fn deny(call: c_long) {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter_all_threads(&program).unwrap();
}

#[test]
#[ignore = "a part of the other test, in a process of its own"]
fn the_service() {
    let denied = env::var(DENIED).unwrap();
    let (call, when) = denied.split_once(' ').unwrap();
    let call: c_long = call.parse().unwrap();
    if when == "at first" {
        deny(call);
    }
    let metrics = Metrics::new("shop");
    let block = async || thread::sleep(Duration::from_millis(30));
    let app: Router = Router::new()
        .route("/block", get(block))
        .route("/wait", get(async || sleep(Duration::from_millis(5)).await))
        .layer(metrics.layer().server_timing(true));
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    let runtime = metrics.instrument(&mut builder).build().unwrap();
    let send = |path: &'static str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = runtime.block_on(runtime.spawn(app.clone().oneshot(request)));
        assert_eq!(response.unwrap().unwrap().status(), 200);
    };
    send("/wait");
    if when == "later" {
        deny(call);
    }
    for _ in 0..3 {
        send("/wait");
        send("/block");
        let text = metrics.encode();
        assert!(text.contains("http_server_active_requests{server=\"shop\"} 0"));
    }
    // What is known adds up, and what is not known is not made up.
    for thread in metrics.threads().read().threads {
        assert_eq!(thread.times.total(), thread.wall);
    }
    let can_read = call != libc::SYS_clock_gettime;
    let held = metrics.threads().read().routes;
    let blocked: f64 = held
        .iter()
        .map(|route| route.held.blocked.as_secs_f64())
        .sum();
    if !can_read {
        assert!(blocked < 0.001, "{blocked}");
    } else if call != libc::SYS_gettid && call != libc::SYS_openat {
        assert!(blocked > 0.08, "{blocked}");
    }
    drop(runtime);
}
