//! The numbers are true: thread states of a real lab, under the article's experiment and others.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common {
    pub(crate) mod lab;
}

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::lab::{Lab, STATES, Scrape, get, try_get};

/// A series whose value may only grow.
fn is_counter(series: &str) -> bool {
    let name = series.split('{').next().unwrap();
    ["_total", "_count", "_sum", "_bucket"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn assert_nothing_decreased(earlier: &Scrape, later: &Scrape) {
    for (series, before) in earlier
        .samples
        .iter()
        .filter(|(series, _)| is_counter(series))
    {
        let after = later.value(series);
        assert!(after >= *before, "{series} fell from {before} to {after}");
    }
}

/// Scrapes each second for as long as `work` takes, and a last time after it.
fn scrape_during(lab: &Lab, work: impl FnOnce() + Send) -> Vec<Scrape> {
    thread::scope(|scope| {
        let work = scope.spawn(work);
        // The request is with the server, and no part of what came before is in the first scrape.
        thread::sleep(Duration::from_millis(300));
        let mut scrapes = vec![lab.scrape()];
        let mut next = Instant::now();
        loop {
            next += Duration::from_secs(1);
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let scrape = lab.scrape();
            if work.is_finished() {
                return scrapes;
            }
            scrapes.push(scrape);
        }
    })
}

/// Does `work`, and tells by how much a thread that only sleeps overslept at most meanwhile: for
/// so long this machine had no CPU for anyone who wanted one.
fn while_starved<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    const BEAT: Duration = Duration::from_millis(5);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let beats = scope.spawn(|| {
            let mut most = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(BEAT);
                most = most.max(begun.elapsed().saturating_sub(2 * BEAT));
            }
            most
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, beats.join().unwrap())
    })
}

#[test]
fn the_article_in_numbers() {
    let lab = Lab::start(&[]);
    let (scrapes, starved) = while_starved(|| {
        scrape_during(&lab, || {
            thread::scope(|scope| {
                for server in [&lab.sync, &lab.r#async] {
                    scope.spawn(|| assert_eq!(get(server, "/?seconds=20").status, 200));
                }
            });
        })
    });
    assert!(scrapes.len() >= 19, "{} scrapes of 20 s", scrapes.len());
    for pair in scrapes.windows(2) {
        let [before, after] = pair else {
            unreachable!()
        };
        assert_nothing_decreased(before, after);
        let allowed = Duration::from_millis(100) + 3 * starved;
        assert!(
            after.took < allowed,
            "a scrape took {:?} of {allowed:?}",
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
                    "{server} was {share:.3} of a second {other}"
                );
            }
        }
        // The same 20 s: with a thread here, without one there.
        let gain = |series: &str| after.value(series) - before.value(series);
        let wall = after.wall("sync") - before.wall("sync");
        let with =
            gain(r#"http_route_poll_seconds_total{server="sync",http_route="/",state="blocked"}"#);
        let without = gain(r#"http_route_await_seconds_total{server="async",http_route="/"}"#);
        for seconds in [with, without] {
            assert!(
                (0.95..=1.05).contains(&(seconds / wall)),
                "{seconds} s of {wall} s"
            );
        }
    }
}

#[test]
fn a_blocking_call_blocks_the_event_loop_and_is_named_meanwhile() {
    let lab = Lab::start(&[]);
    let scrapes = scrape_during(&lab, || {
        assert_eq!(get(&lab.r#async, "/blocking?seconds=4").status, 200);
    });
    let (first, last) = (&scrapes[0], scrapes.last().unwrap());
    assert!(
        last.share(first, "async", "blocked") > 0.95,
        "{:?}",
        shares(first, last)
    );
    assert_eq!(last.share(first, "async", "idle"), 0.0);
    let series =
        r#"http_route_poll_seconds_total{server="async",http_route="/blocking",state="blocked"}"#;
    let named = last.value(series) - first.value(series);
    let blocked = last.state("async", "blocked") - first.state("async", "blocked");
    assert!(named >= 0.99 * blocked, "{named} s of {blocked} s");
}

#[test]
fn computing_is_running_and_never_blocked() {
    let lab = Lab::start(&[]);
    let scrapes = scrape_during(&lab, || {
        assert_eq!(get(&lab.r#async, "/cpu?seconds=4").status, 200);
    });
    let (first, last) = (&scrapes[0], scrapes.last().unwrap());
    // Other tests may want the CPU as well: then the thread is runnable for a while.
    let shares = shares(first, last);
    let [running, runnable, blocked, awaiting, idle] = shares;
    assert!(running > 0.2 && running + runnable > 0.99, "{shares:?}");
    assert!(
        blocked < 0.005 && awaiting == 0.0 && idle == 0.0,
        "{shares:?}"
    );
}

#[test]
fn offloading_frees_the_event_loop() {
    let lab = Lab::start(&[]);
    let scrapes = scrape_during(&lab, || {
        assert_eq!(get(&lab.r#async, "/offloaded?seconds=4").status, 200);
    });
    let (first, last) = (&scrapes[0], scrapes.last().unwrap());
    assert!(
        last.share(first, "async", "awaiting") > 0.95,
        "{:?}",
        shares(first, last)
    );
}

#[test]
fn without_requests_every_thread_is_idle() {
    let lab = Lab::start(&["--threads", "3"]);
    let first = lab.scrape();
    thread::sleep(Duration::from_secs(2));
    let last = lab.scrape();
    for server in ["sync", "async"] {
        assert!(last.share(&first, server, "idle") > 0.95, "{server}");
        for thread in 0..3 {
            last.value(&format!(
                r#"thread_wall_seconds_total{{server="{server}",thread="{thread}"}}"#
            ));
        }
    }
}

fn shares(first: &Scrape, last: &Scrape) -> [f64; 5] {
    STATES.map(|state| last.share(first, "async", state))
}

#[test]
fn over_a_minute_of_mixed_traffic_the_states_sum_to_the_wall_time() {
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
    let lab = Lab::start(&["--threads", "2"]);
    let end = Instant::now() + Duration::from_secs(60);
    let first = lab.scrape();
    thread::scope(|scope| {
        for client in 0..6 {
            let server = if client % 2 == 0 {
                &lab.sync
            } else {
                &lab.r#async
            };
            scope.spawn(move || {
                for path in MIX.iter().cycle().skip(client) {
                    if Instant::now() > end {
                        return;
                    }
                    // Clients that leave are part of the mix.
                    let left = client == 5 && path.starts_with("/?");
                    let _ = if left {
                        leave(server, path)
                    } else {
                        try_get(server, path)
                    };
                }
            });
        }
        let mut before = first.clone();
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(250));
            let after = lab.scrape();
            assert_nothing_decreased(&before, &after);
            before = after;
        }
    });
    let last = lab.scrape();
    for server in ["sync", "async"] {
        let sum: f64 = STATES
            .iter()
            .map(|state| last.state(server, state) - first.state(server, state))
            .sum();
        let wall = last.wall(server) - first.wall(server);
        assert!(wall > 59.0, "{wall}");
        assert!(
            (sum - wall).abs() <= 0.001 * wall,
            "{server}: {sum} s in states, {wall} s in all"
        );
        for state in [
            "running",
            if server == "sync" {
                "blocked"
            } else {
                "awaiting"
            },
        ] {
            let share = last.share(&first, server, state);
            assert!(share > 0.001, "{server} was hardly {state}: {share}");
        }
    }
}

/// Asks and goes away.
fn leave(address: &str, path: &str) -> Option<common::lab::Answer> {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    thread::sleep(Duration::from_millis(5));
    None
}
