//! Requests that are lost while something is restarted or dies: none. The load is open-loop, and every request is
//! counted.

use std::thread;
use std::time::Duration;

use crate::load::Load;
use crate::stack::{Stack, run};

const SERVERS: [&str; 2] = ["sync", "async"];

/// Starts three replicas of both servers, of which the synchronous ones have many threads.
fn three_replicas() -> Stack {
    let mut stack = Stack::named("losses");
    stack.add_file("tests/compose/many_threads.yml");
    stack.start(&["--scale", "sync=3", "--scale", "async=3"]);
    // Until nginx has found them.
    thread::sleep(Duration::from_secs(3));
    stack
}

/// Starts the same load on both servers.
fn load(stack: &Stack, path: &str, rate: f64) -> [Load; 2] {
    let front = stack.url("nginx", 8080);
    let load = SERVERS.map(|server| Load::start(format!("{front}/{server}{path}"), rate));
    thread::sleep(Duration::from_secs(2));
    load
}

/// Ends the load when what was done before it has had its effect.
fn assert_none_lost(load: [Load; 2], what: &str) {
    thread::sleep(Duration::from_secs(2));
    for (server, load) in SERVERS.iter().zip(load) {
        assert_eq!(load.lost(), [""; 0], "{server}: {what}");
    }
}

pub fn rolling_restarts_lose_no_request() {
    let stack = three_replicas();

    let running = load(&stack, "/?seconds=2", 25.0);
    let mut script = stack.script("scripts/rolling-restart");
    let output = script.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_none_lost(running, "rolling restart");
}

pub fn reloads_and_kills_lose_no_request() {
    let stack = three_replicas();

    let running = load(&stack, "/?seconds=2", 25.0);
    for _ in 0..3 {
        stack.compose(&["kill", "--signal", "HUP", "nginx"]);
        thread::sleep(Duration::from_secs(2));
    }
    assert_none_lost(running, "reload of nginx");

    let running = load(&stack, "/dummy", 50.0);
    for server in SERVERS {
        let id = stack.compose(&["ps", "--quiet", server]);
        let id = id.lines().next().unwrap();
        run("docker", &["kill", id]);
        thread::sleep(Duration::from_secs(4));
        run("docker", &["start", id]);
    }
    assert_none_lost(running, "kill of a replica");
}

/// With one replica, something would be lost. The script says so instead.
pub fn a_rolling_restart_needs_two_replicas(stack: &Stack) {
    let output = stack.script("scripts/rolling-restart").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("fewer than two replicas"), "{errors}");
}
