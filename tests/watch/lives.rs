//! Processes that end, restart, stop, have many children, or may not be read.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use thread_states::{Nanos, State};
use threadlab::watch::{Missing, WatchReading};

use super::address::free_address;
use super::servers::{Kind, TestServer};
use super::watching::{SETTLES, Watching};

#[test]
fn counters_go_on_under_their_index_when_a_server_restarts() {
    let server = TestServer::start(Kind::CurrentThread);
    let address = server.address;
    let watching = Watching::of(&format!("port:{}", address.port()));
    let mut servers = vec![server];
    // Reads all the time that nothing decreases.
    let (spent, _) = watching.during(|| {
        servers[0].get("/sleep/500");
        servers.clear();
        watching.wait_until("the server is gone", |reading| !reading.has_processes);
        servers.push(TestServer::start_on(Kind::CurrentThread, address));
        watching.wait_until("it is back", |reading| reading.has_processes);
        // Until it is known where its threads wait for work.
        thread::sleep(Duration::from_millis(1_000));
        servers[0].get("/sleep/500");
    });
    assert!((spent.blocked - 1.0).abs() < 0.1, "{spent:?}");
    let threads = watching.server.read().threads;
    assert_eq!(
        threads[0].pid,
        servers[0].pid(),
        "index 0 belongs to the new process: {threads:?}"
    );
}

#[test]
fn a_killed_server_has_no_state_and_keeps_its_counters_to_the_end() {
    let server = TestServer::start(Kind::Pool);
    let watching = Watching::of(&server.pid().to_string());
    let blocked = || -> Nanos {
        let threads = watching.server.read().threads.into_iter();
        threads
            .map(|thread| thread.settled.times[State::Blocked])
            .sum()
    };
    let (before, wall_before) = (blocked(), watching.server.read().threads[0].settled.total());
    let mut client = TcpStream::connect(server.address).unwrap();
    write!(client, "GET /sleep/5000 HTTP/1.1\r\n\r\n").unwrap();
    // Shorter than the time from one look at the connections of a quiet server to the next.
    thread::sleep(Duration::from_millis(400));
    server.signal("KILL");
    watching.wait_until("no thread has a state", |reading| {
        !reading.has_processes && reading.threads.iter().all(|thread| thread.state.is_none())
    });
    let reading = watching.server.read();
    assert!(reading.threads[0].settled.total() >= wall_before);
    assert_eq!(reading.missing, [], "it is gone, not hidden");
    // The times of threads that have ended are settled at the next look.
    let deadline = Instant::now() + SETTLES;
    while blocked() < before + Nanos::from_millis(300) {
        assert!(Instant::now() < deadline, "{:#?}", watching.server.read());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_stopped_server_is_blocked_until_it_continues() {
    let server = TestServer::start(Kind::CurrentThread);
    let watching = Watching::of(&server.pid().to_string());
    let (spent, on) = watching.during(|| {
        server.signal("STOP");
        watching.wait_until("it is blocked", |reading| {
            reading.threads[0].state == Some(State::Blocked)
        });
        thread::sleep(Duration::from_secs(1));
        server.signal("CONT");
        watching.wait_until("it is idle again", |reading| {
            reading.threads[0].state == Some(State::Idle)
        });
    });
    assert!(spent.blocked > 0.9, "{spent:?}");
    assert!(on["stopped"] > 0.9, "{on:?}");
}

#[test]
fn a_server_that_runs_another_program_is_the_same_server() {
    let server = TestServer::start(Kind::Pool);
    let watching = Watching::of(&server.pid().to_string());
    let (mut spent, on) = watching.during(|| {
        server.get("/sleep/700");
        server.exec();
        // Until it is known where its new threads wait for work.
        thread::sleep(Duration::from_millis(1_500));
        server.get("/sleep/700");
    });
    // The request that starts the program waits, too, while the kernel reads it from the disk.
    spent.blocked -= ["disk", "fault"]
        .iter()
        .filter_map(|on_what| on.get(on_what))
        .sum::<f64>();
    spent.assert_waits("a request of each program", 6, 1.4, 0.0);
    assert!((on["sleep"] - 1.4).abs() < 0.15, "{on:?}");
    let threads = watching.server.read().threads;
    let living: Vec<_> = threads
        .iter()
        .filter(|thread| thread.state.is_some())
        .collect();
    assert!(
        !living.is_empty()
            && living
                .iter()
                .all(|thread| { thread.pid == server.pid() && thread.state == Some(State::Idle) }),
        "{threads:?}"
    );
}

#[test]
fn thousands_of_short_lived_children_do_no_harm() {
    let server = TestServer::start(Kind::WithChildren);
    let watching = Watching::of(&server.pid().to_string());
    let (spent, on) = watching.during(|| {
        server.get("/sleep/1000");
        // Threads come and go all the time, so that a part of the request is settled late.
        thread::sleep(SETTLES);
    });
    // How the time is split between the request's thread and the one that starts processes is not known from outside:
    // neither has a home. But no part of it is shown as a state that it was not.
    let not_idle = spent.blocked + spent.unknown;
    assert!(
        spent.blocked > 0.5 && not_idle > 0.9 && spent.awaiting == 0.0,
        "{spent:?} {on:?}"
    );
    assert!(watching.server.read().threads.len() <= 65);
}

#[test]
fn a_server_in_another_network_namespace_is_not_idle_but_unknown() {
    let Some(server) = TestServer::start_in_other_namespace(Kind::CurrentThread) else {
        eprintln!("NOT VERIFIED: this machine allows no new network namespace");
        return;
    };
    let watching = Watching::start_with_all_threads(&server.pid().to_string());
    // The test program's main thread only waits for the thread of the event loop.
    let event_loop = |reading: WatchReading| {
        let mut threads = reading.threads.into_iter();
        threads.find(|thread| thread.settled.unknown > Nanos::from_millis(500))
    };
    watching.wait_until("its time is unknown", |reading| {
        event_loop(reading.clone()).is_some()
    });
    let reading = watching.server.read();
    assert_eq!(reading.missing, [Missing::Namespace]);
    let thread = event_loop(reading).unwrap();
    assert_eq!(
        (thread.settled.times[State::Idle], thread.state),
        (Nanos::ZERO, None)
    );
}

#[test]
fn a_thread_that_is_renamed_has_its_new_name() {
    let mut shell = Command::new("sh")
        .args(["-c", "read line; echo renamed > /proc/$$/comm; read line"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let watching = Watching::start(&shell.id().to_string());
    let is_named = |reading: &WatchReading, name: &str| {
        let thread = reading.threads.first();
        thread.is_some_and(|thread| thread.comm == name)
    };
    watching.wait_until("it is found", |reading| is_named(reading, "sh"));
    shell.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    watching.wait_until("its name is read again", |reading| {
        is_named(reading, "renamed")
    });
    shell.kill().unwrap();
    shell.wait().unwrap();
}

#[test]
fn a_server_that_does_not_exist_is_waited_for() {
    let free = free_address();
    let watching = Watching::start(&format!("port:{}", free.port()));
    thread::sleep(Duration::from_millis(500));
    assert!(!watching.server.read().has_processes);
    let server = TestServer::start_on(Kind::Pool, free);
    watching.wait_until("it is found", |reading| !reading.threads.is_empty());
    assert_eq!(watching.server.read().threads[0].pid, server.pid());
    assert!(!watching.server.read().missing.contains(&Missing::Sites));
}
