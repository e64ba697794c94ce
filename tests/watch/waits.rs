//! Servers whose waits are known: each request says for how long its thread waits.

use std::thread;
use std::time::Duration;

use super::servers::{Kind, TestServer};
use super::watching::Watching;

fn watched(kind: Kind) -> (TestServer, Watching) {
    let server = TestServer::start(kind);
    let watching = Watching::of(&format!("port:{}", server.address.port()));
    (server, watching)
}

#[test]
fn a_thread_per_connection_is_blocked_as_long_as_its_request_waits() {
    let (server, watching) = watched(Kind::ThreadPerConnection);
    let (spent, on) =
        watching.during(|| server.get_all(&["/sleep/1500", "/sleep/1500", "/sleep/500"]));
    spent.assert("three requests", 3.5, 0.0);
    assert!((on["sleep"] - 3.5).abs() < 0.15, "{on:?}");
}

#[test]
fn a_pool_is_idle_at_its_queue_and_blocked_elsewhere() {
    let (server, watching) = watched(Kind::Pool);
    let (spent, _) = watching.during(|| thread::sleep(Duration::from_millis(500)));
    spent.assert("no request", 0.0, 0.0);
    // One sleeps while it holds a lock, the other waits for the lock first.
    let (spent, on) = watching.during(|| server.get_all(&["/lock/700", "/lock/700"]));
    spent.assert("two requests that need one lock", 2.1, 0.0);
    assert!(
        (on["sleep"] - 1.4).abs() < 0.1 && (on["lock"] - 0.7).abs() < 0.1,
        "{on:?}"
    );
}

#[test]
fn a_new_thread_of_a_pool_is_idle_while_another_new_one_serves() {
    let (server, watching) = watched(Kind::GrowingPool);
    let (spent, on) = watching.during(|| {
        thread::scope(|scope| {
            scope.spawn(|| server.get("/sleep/1500"));
            thread::sleep(Duration::from_millis(300));
            server.get("/sleep/1");
        });
    });
    // For as long as a look still shows the short one, it may be that of the idle thread.
    spent.assert_waits("a long and a short request", 5, 1.5, 0.0);
    assert!((on["sleep"] - 1.5).abs() < 0.1, "{on:?}");
}

#[test]
fn a_thread_that_computes_is_neither_blocked_nor_awaiting() {
    let (server, watching) = watched(Kind::Pool);
    let (spent, _) = watching.during(|| server.get("/spin/1000"));
    spent.assert("computing", 0.0, 0.0);
    let busy = spent.running + spent.runnable;
    // On a busy machine, other threads of the server wait for a CPU, too.
    assert!((0.95..1.5).contains(&busy), "{spent:?}");
}

#[test]
fn an_event_loop_awaits_a_timer_and_is_blocked_by_a_call_that_blocks() {
    for kind in [Kind::CurrentThread, Kind::MultiThread] {
        let (server, watching) = watched(kind);
        let (spent, _) = watching.during(|| server.get("/await/1500"));
        // Each worker of a runtime that waits in its event loop awaits the request.
        assert!(
            spent.blocked < 0.05 && spent.awaiting > 1.4,
            "{kind:?}: {spent:?}"
        );
        let (spent, on) = watching.during(|| server.get("/sleep/1500"));
        assert!((spent.blocked - 1.5).abs() < 0.1, "{kind:?}: {spent:?}");
        assert!(on.contains_key("sleep"), "{on:?}");
        if kind == Kind::CurrentThread {
            spent.assert("a call that blocks", 1.5, 0.0);
            let (spent, _) = watching.during(|| server.get("/await/1000"));
            spent.assert("a timer", 0.0, 1.0);
        }
    }
}

#[test]
fn a_blocking_pool_is_blocked_while_its_event_loop_awaits() {
    let (server, watching) = watched(Kind::CurrentThread);
    let (spent, _) = watching.during(|| server.get("/offload/1500"));
    spent.assert("an offloaded call", 1.5, 1.5);
}

#[test]
fn threads_that_wake_up_by_themselves_are_not_blocked() {
    let (server, watching) = watched(Kind::Ticking);
    // A thread that sleeps is known to wait for nothing else after 2 s.
    thread::sleep(Duration::from_millis(1_500));
    let (spent, _) = watching.during(|| server.get("/await/1500"));
    spent.assert("a timer, in a process that wakes up often", 0.0, 1.5);
    let (spent, on) = watching.during(|| server.get("/sleep/1000"));
    spent.assert("a call that blocks the event loop", 1.0, 0.0);
    assert!((on["sleep"] - 1.0).abs() < 0.1, "{on:?}");
}

#[test]
fn short_requests_on_connections_that_close_are_awaited() {
    const REQUESTS: u32 = 30;
    let (server, watching) = watched(Kind::CurrentThread);
    let (spent, _) = watching.during(|| (0..REQUESTS).for_each(|_| server.get("/await/50")));
    let least = f64::from(REQUESTS) * 0.05;
    // On a busy machine the event loop waits for a CPU at the end of each.
    let seen = spent.awaiting + spent.runnable + spent.running;
    assert!(
        seen >= least * 0.9 && spent.awaiting <= least * 1.2 && spent.blocked < 0.05,
        "{least} s awaited, but {spent:?}"
    );
}

#[test]
fn processes_that_share_a_listening_socket_are_one_server() {
    let (server, watching) = watched(Kind::Forking);
    let (spent, _) = watching.during(|| server.get_all(&["/sleep/1000", "/sleep/1000"]));
    spent.assert_waits("two processes", 2, 2.0, 0.0);
    let pids: Vec<u32> = watching
        .server
        .read()
        .threads
        .iter()
        .map(|thread| thread.pid)
        .collect();
    assert!(pids.len() >= 3 && pids.contains(&server.pid()), "{pids:?}");
}

#[test]
fn requests_that_no_thread_has_taken_are_queued_with_their_age() {
    let (server, watching) = watched(Kind::CurrentThread);
    thread::scope(|scope| {
        scope.spawn(|| server.get("/sleep/2500"));
        thread::sleep(Duration::from_millis(500));
        scope.spawn(|| server.get_all(&["/await/1", "/await/1"]));
        thread::sleep(Duration::from_millis(1_500));
        let reading = watching.server.read();
        assert_eq!(reading.queued_in_accept, 2, "{reading:?}");
        let age = reading.oldest_queued.as_secs_f64();
        assert!((0.8..1.8).contains(&age), "{age}");
    });
    watching.wait_until("the queue is empty", |reading| {
        reading.queued_in_accept + reading.queued_unread == 0
    });
}
