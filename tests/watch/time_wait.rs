//! A host with many connections in TIME_WAIT, all of which the kernel walks at each look.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use threadlab::watch::{Watch, WatchSettings};

use super::servers::{Kind, TestServer};

const NUMBER: &str = "THREADLAB_TEST_TIME_WAIT";

/// A network namespace with connections in TIME_WAIT; both are gone when this is dropped.
struct TimeWait {
    process: Child,
    /// Number of connections.
    connections: usize,
}

impl TimeWait {
    /// `None` if this machine allows no new namespace.
    fn with(connections: usize) -> Option<Self> {
        let namespace = ["--user", "--map-root-user", "--net", "sh", "-c"];
        let mut command = Command::new("unshare");
        command
            .args(namespace)
            .arg("ip link set lo up && exec \"$0\" \"$@\"")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("time_wait::leaves_connections_when_it_is_asked_to")
            .env(NUMBER, connections.to_string());
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = pipes.spawn().ok()?;
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = output
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("TIME_WAIT ")?.parse().ok());
        let this = Self {
            process,
            connections: said.unwrap_or(0),
        };
        (this.connections > 0).then_some(this)
    }
}

impl Drop for TimeWait {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn leaves_connections_when_it_is_asked_to() {
    /// Few of the ports of a client address: one that is in TIME_WAIT to the same server would be taken again.
    const PER_SERVER: usize = 2_000;
    let Some(number) = std::env::var(NUMBER).ok() else {
        return;
    };
    let number: usize = number.parse().unwrap();
    for (server, first) in (0..number).step_by(PER_SERVER).enumerate() {
        let listener = TcpListener::bind(format!("127.0.1.{}:0", server + 1)).unwrap();
        let address = listener.local_addr().unwrap();
        for _ in first..number.min(first + PER_SERVER) {
            let client = TcpStream::connect(address).unwrap();
            // The side that closes first is the one in TIME_WAIT.
            drop(listener.accept().unwrap());
            drop(client);
        }
    }
    let statistics = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let mut words = statistics
        .split_whitespace()
        .skip_while(|word| *word != "tw");
    println!("\nTIME_WAIT {}", words.nth(1).unwrap());
    // Until the test has ended.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_watcher_stays_within_its_budget_beside_50_000_connections_in_time_wait() {
    const BUDGET: f64 = 0.02;
    let Some(time_wait) = TimeWait::with(50_000) else {
        eprintln!("NOT TESTED: connections in TIME_WAIT. No network namespace can be made here.");
        return;
    };
    assert!(time_wait.connections > 30_000, "{}", time_wait.connections);
    let server = TestServer::start(Kind::CurrentThread);
    let watch = Watch::start(WatchSettings {
        targets: vec![format!("test={}", server.pid()).parse().unwrap()],
        hz: 50.0,
        budget: BUDGET,
        all_threads: false,
    })
    .unwrap();
    // Requests make it look as often as it may.
    let ask = |times: u64| {
        for _ in 0..times {
            server.get("/await/50");
            thread::sleep(Duration::from_millis(50));
        }
    };
    // The first looks tell what they cost.
    ask(5);
    let (before, began) = (watch.cost(), std::time::Instant::now());
    ask(25);
    let (after, wall) = (watch.cost(), began.elapsed());
    let cpu = Duration::from(after.cpu.saturating_sub(before.cpu));
    let share = cpu.as_secs_f64() / wall.as_secs_f64();
    // One look more or less in a few seconds.
    assert!(share < BUDGET * 1.5, "{share}: {before:?} {after:?}");
    assert!(after.looks > before.looks, "{after:?}");
}
