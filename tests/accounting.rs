//! The thread states that a real lab exports, under known workloads.
//!
//! The limits hold on a machine that runs nothing else: [`on_quiet_machine`].

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common {
    pub(crate) mod lab;
}
#[path = "../crates/thread-states/tests/common/quiet.rs"]
mod quiet;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::lab::{Lab, STATES, Scrape, get, try_get};
use quiet::on_quiet_machine;

/// Returns whether a series is cumulative.
fn is_counter(series: &str) -> bool {
    let name = series.split('{').next().unwrap();
    ["_total", "_count", "_sum", "_bucket"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn assert_no_counter_decreased(earlier: &Scrape, later: &Scrape) {
    for (series, before) in earlier
        .samples
        .iter()
        .filter(|(series, _)| is_counter(series))
    {
        let after = later.value(series);
        assert!(after >= *before, "{series} fell from {before} to {after}");
    }
}

/// Time from one scrape to the next.
const INTERVAL: Duration = Duration::from_millis(500);

/// Scrapes at each interval while `work` runs.
fn scrape_during(lab: &Lab, work: impl FnOnce() + Send) -> Vec<Scrape> {
    thread::scope(|scope| {
        let work = scope.spawn(work);
        // By then the server has the request, and the first scrape has the idle time before it.
        thread::sleep(Duration::from_millis(300));
        let mut scrapes = vec![lab.scrape()];
        let mut next = Instant::now();
        loop {
            next += INTERVAL;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let scrape = lab.scrape();
            if work.is_finished() {
                return scrapes;
            }
            scrapes.push(scrape);
        }
    })
}

/// Runs `work` and returns the longest oversleep of a thread that only sleeps meanwhile: for that long, no CPU of this
/// machine was free.
fn measure_starvation<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    const SLEEP: Duration = Duration::from_millis(5);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let longest = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let started = Instant::now();
                thread::sleep(SLEEP);
                longest = longest.max(started.elapsed().saturating_sub(2 * SLEEP));
            }
            longest
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, longest.join().unwrap())
    })
}

#[test]
fn a_wait_blocks_the_sync_thread_and_is_awaited_by_the_async_thread() {
    on_quiet_machine(|| {
        const SECONDS: usize = 4;
        let lab = Lab::start(&[]);
        let path = format!("/?seconds={SECONDS}");
        let (scrapes, starved) = measure_starvation(|| {
            scrape_during(&lab, || {
                thread::scope(|scope| {
                    for server in [&lab.sync, &lab.r#async] {
                        scope.spawn(|| assert_eq!(get(server, &path).status, 200));
                    }
                });
            })
        });
        assert!(
            scrapes.len() >= 2 * SECONDS - 1,
            "{} scrapes in {SECONDS} s",
            scrapes.len()
        );
        for pair in scrapes.windows(2) {
            assert_states_of_a_wait(&pair[0], &pair[1], starved);
        }
    });
}

fn assert_states_of_a_wait(before: &Scrape, after: &Scrape, starved: Duration) {
    assert_no_counter_decreased(before, after);
    let allowed = Duration::from_millis(100) + 3 * starved;
    assert!(
        after.took < allowed,
        "a scrape took {:?}, more than {allowed:?}",
        after.took
    );
    for (server, state) in [("sync", "blocked"), ("async", "awaiting")] {
        for other in STATES {
            let share = after.share(before, server, other);
            let expected = if other == state {
                0.95..=1.05
            } else {
                0.0..=0.05
            };
            assert!(
                expected.contains(&share),
                "{server} was {other} for {share:.3} of the time"
            );
        }
    }
    // The route waits for the same time on both servers, holding a thread on one of them only.
    let gain = |series: &str| after.value(series) - before.value(series);
    let wall = after.wall("sync") - before.wall("sync");
    let holding =
        gain(r#"http_route_poll_seconds_total{server="sync",http_route="/",state="blocked"}"#);
    let awaiting = gain(r#"http_route_await_seconds_total{server="async",http_route="/"}"#);
    for seconds in [holding, awaiting] {
        assert!(
            (0.95..=1.05).contains(&(seconds / wall)),
            "{seconds} s of {wall} s"
        );
    }
}

/// Thread 0 of a server, as `/threads` shows it.
fn thread_0(lab: &Lab, server: &str) -> serde_json::Value {
    let response = get(&lab.metrics, &format!("/threads?server={server}"));
    response.json()[0]["threads"][0].clone()
}

/// Waits until thread 0 of a server is blocked, and returns for how many seconds it has been, and on what.
fn wait_until_blocked(lab: &Lab, server: &str) -> (f64, String) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let thread = thread_0(lab, server);
        if thread["state"] == "blocked" {
            let on = thread["on"].as_str().unwrap().to_owned();
            return (thread["state_seconds"].as_f64().unwrap(), on);
        }
        assert!(thread["on"].is_null(), "{thread}");
        assert!(
            Instant::now() < deadline,
            "{server} is not blocked: {thread}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_block_shows_its_age_and_what_it_waits_for_while_it_lasts() {
    let lab = Lab::start(&[]);
    // Both a timer that the gateway waits for, and a call that sleeps.
    for (server, address, path) in [
        ("sync", &lab.sync, "/?seconds=2"),
        ("async", &lab.r#async, "/blocking?seconds=2"),
    ] {
        thread::scope(|scope| {
            let request = scope.spawn(|| get(address, path).status);
            let (first, on) = wait_until_blocked(&lab, server);
            assert_eq!(on, "sleep", "{server}");
            let seen = Instant::now();
            thread::sleep(Duration::from_secs(1));
            let series = |labels: &str| format!("{{server=\"{server}\",thread=\"0\",{labels}}}");
            let scrape = lab.scrape();
            let passed = seen.elapsed().as_secs_f64();
            let blocked_for = format!("thread_state_since_seconds{}", series("state=\"blocked\""));
            let age = scrape.value(&blocked_for);
            // It is older by the time that passed, to what the readings took.
            assert!(
                age >= first + 1.0 && age <= first + passed + 0.05,
                "{server}: {first} s, and {age} s after {passed} s"
            );
            let idle = format!("thread_state_since_seconds{}", series("state=\"idle\""));
            assert_eq!(scrape.value(&idle), 0.0);
            let on_sleep = format!("thread_blocked_seconds_total{}", series("on=\"sleep\""));
            let (on_sleep, blocked) = (scrape.value(&on_sleep), scrape.state(server, "blocked"));
            assert!(
                on_sleep >= 1.0 && on_sleep <= blocked && blocked - on_sleep < 0.1,
                "{server}: {on_sleep} s of {blocked} s"
            );
            assert_eq!(request.join().unwrap(), 200);
        });
    }
    // A client that sends no request holds the synchronous thread.
    let _silent = TcpStream::connect(&lab.sync).unwrap();
    assert_eq!(wait_until_blocked(&lab, "sync").1, "client");
}

#[test]
fn a_blocking_call_blocks_the_event_loop_and_its_route_is_named_meanwhile() {
    on_quiet_machine(|| {
        let lab = Lab::start(&[]);
        let scrapes = scrape_during(&lab, || {
            assert_eq!(get(&lab.r#async, "/blocking?seconds=1.6").status, 200);
        });
        let (first, last) = (&scrapes[0], scrapes.last().unwrap());
        let shares = shares(first, last);
        assert!(
            last.share(first, "async", "blocked") > 0.95,
            "{shares:?} of {STATES:?}"
        );
        assert_eq!(last.share(first, "async", "idle"), 0.0);
        let series = r#"http_route_poll_seconds_total{server="async",http_route="/blocking",state="blocked"}"#;
        let of_route = last.value(series) - first.value(series);
        let blocked = last.state("async", "blocked") - first.state("async", "blocked");
        assert!(
            of_route >= 0.99 * blocked,
            "{of_route} s of {blocked} s are the route's"
        );
    });
}

#[test]
fn computing_is_running_and_never_blocked() {
    on_quiet_machine(|| {
        let lab = Lab::start(&[]);
        let scrapes = scrape_during(&lab, || {
            assert_eq!(get(&lab.r#async, "/cpu?seconds=1.6").status, 200);
        });
        // Another program may want the CPU as well: then the thread is runnable for a while.
        let shares = shares(&scrapes[0], scrapes.last().unwrap());
        let [running, runnable, blocked, awaiting, idle] = shares;
        assert!(
            running > 0.2 && running + runnable > 0.99,
            "{shares:?} of {STATES:?}"
        );
        assert!(
            blocked < 0.005 && awaiting == 0.0 && idle == 0.0,
            "{shares:?} of {STATES:?}"
        );
    });
}

#[test]
fn offloading_frees_the_event_loop() {
    on_quiet_machine(|| {
        let lab = Lab::start(&[]);
        let scrapes = scrape_during(&lab, || {
            assert_eq!(get(&lab.r#async, "/offloaded?seconds=1.6").status, 200);
        });
        let (first, last) = (&scrapes[0], scrapes.last().unwrap());
        let shares = shares(first, last);
        assert!(
            last.share(first, "async", "awaiting") > 0.95,
            "{shares:?} of {STATES:?}"
        );
    });
}

#[test]
fn threads_without_requests_are_idle() {
    on_quiet_machine(|| {
        let lab = Lab::start(&["--threads", "3"]);
        let first = lab.scrape();
        thread::sleep(Duration::from_secs(1));
        let last = lab.scrape();
        for server in ["sync", "async"] {
            assert!(last.share(&first, server, "idle") > 0.95, "{server}");
            for thread in 0..3 {
                last.value(&format!(
                    r#"thread_wall_seconds_total{{server="{server}",thread="{thread}"}}"#
                ));
            }
        }
    });
}

/// The shares of the async server's states, in the order of [`STATES`].
fn shares(first: &Scrape, last: &Scrape) -> [f64; 5] {
    STATES.map(|state| last.share(first, "async", state))
}

#[test]
fn the_states_sum_to_the_wall_time_under_mixed_traffic() {
    on_quiet_machine(|| {
        const TRAFFIC: Duration = Duration::from_secs(5);
        let lab = Lab::start(&["--threads", "2"]);
        let end = Instant::now() + TRAFFIC;
        let first = lab.scrape();
        thread::scope(|scope| {
            for client in 0..6 {
                let lab = &lab;
                scope.spawn(move || send_mix(lab, client, end));
            }
            let mut before = first.clone();
            while Instant::now() < end {
                thread::sleep(Duration::from_millis(250));
                let after = lab.scrape();
                assert_no_counter_decreased(&before, &after);
                before = after;
            }
        });
        let last = lab.scrape();
        for (server, waits_as) in [("sync", "blocked"), ("async", "awaiting")] {
            let sum: f64 = STATES
                .iter()
                .map(|state| last.state(server, state) - first.state(server, state))
                .sum();
            let wall = last.wall(server) - first.wall(server);
            assert!(wall > 0.98 * TRAFFIC.as_secs_f64(), "{wall}");
            assert!(
                (sum - wall).abs() <= 0.001 * wall,
                "{server}: the states sum to {sum} s, the wall time is {wall} s"
            );
            for state in ["running", waits_as] {
                let share = last.share(&first, server, state);
                assert!(share > 0.001, "{server} was hardly ever {state}: {share}");
            }
        }
    });
}

/// Sends requests of many kinds until `end`: even clients to the sync server, odd ones to the async server.
fn send_mix(lab: &Lab, client: usize, end: Instant) {
    const MIX: [&str; 8] = [
        "/dummy",
        "/?seconds=0.05",
        "/dummy",
        "/blocking?seconds=0.01",
        "/dummy",
        "/offloaded?seconds=0.02",
        "/cpu?seconds=0.005",
        "/nowhere",
    ];
    let server = [&lab.sync, &lab.r#async][client % 2];
    for path in MIX.iter().cycle().skip(client) {
        if Instant::now() > end {
            return;
        }
        // Any response will do, even none: at the end of the traffic only the accounting is of interest.
        let _ = if client == 5 && path.starts_with("/?") {
            disconnect_early(server, path)
        } else {
            try_get(server, path).map(drop)
        };
    }
}

/// Sends a request and disconnects before its response.
fn disconnect_early(address: &str, path: &str) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    thread::sleep(Duration::from_millis(5));
    Some(())
}
