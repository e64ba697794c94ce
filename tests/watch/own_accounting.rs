//! Our own servers, which account for themselves, watched from outside: both must say the same.

use std::thread;
use std::time::Duration;

use thread_states::State;

use super::lab::{Scrape, Server, get};
use super::watching::Watching;

/// Time in each state over all threads, by the server itself.
fn own(scrape: &Scrape, kind: &str) -> [f64; 5] {
    let seconds = |state: State| {
        let is_of = |series: &str| {
            series.starts_with("thread_state_seconds_total{")
                && series.contains(&format!("server=\"{kind}\""))
                && series.contains(&format!("state=\"{}\"", state.as_str()))
        };
        let all = scrape.samples.iter().filter(|(series, _)| is_of(series));
        all.map(|(_, value)| value).sum()
    };
    State::ALL.map(seconds)
}

/// Requests paths from so many clients at once, each path one after the other.
fn load(server: &Server, clients: usize, paths: &[&str]) {
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for path in paths {
                    assert_eq!(get(&server.http, path).status, 200, "{path}");
                }
            });
        }
    });
}

#[test]
fn both_servers_are_seen_as_they_account_for_themselves() {
    let paths = [
        "/?seconds=0.3",
        "/blocking?seconds=0.2",
        "/cpu?seconds=0.1",
        "/?seconds=0.5",
    ];
    for (kind, threads) in [("sync", "1"), ("async", "1"), ("sync", "2")] {
        let server = Server::start(kind, &["--threads", threads]);
        let watching = Watching::of(&server.process.pid().to_string());
        // A thread of the lab wakes up ten times a second; after 2 s, it is known to wait for nothing else.
        thread::sleep(Duration::from_millis(1_500));
        let before = own(&Scrape::of(&server.metrics), kind);
        let (spent, _) = watching.during(|| load(&server, 2, &paths));
        let after = own(&Scrape::of(&server.metrics), kind);
        let mut grown = after;
        grown
            .iter_mut()
            .zip(before)
            .for_each(|(after, before)| *after -= before);
        let [running, runnable, blocked, awaiting, _] = grown;
        spent.assert(
            &format!("{kind}, {threads} threads, by itself {grown:?}"),
            blocked,
            awaiting,
        );
        // The watcher also sees the lab's other threads. They run a little; how long they wait for a CPU depends on
        // what else the machine does.
        let seen = spent.running + spent.runnable;
        assert!(
            seen >= running + runnable - 0.02 && spent.running <= running + 0.15,
            "{kind}: {spent:?} beside {grown:?}"
        );
    }
}
