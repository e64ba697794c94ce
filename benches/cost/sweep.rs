//! A server process with more and more threads, waiting requests and requests per second: its memory, its CPU time and
//! the time of a scrape.

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::comparison::quartiles;
use crate::cpu;
use crate::crowd::{connect, memory, raise_file_limit};
use crate::goal::Goals;
use crate::lab::Server;
use crate::load::{Client, Connections, Rate};
use crate::scrape::get;

pub(crate) const TITLE: &str = "a sweep";

const THREADS: [usize; 4] = [1, 8, 64, 512];
const WAITS: [usize; 6] = [0, 100, 1_000, 5_000, 10_000, 20_000];
const RATES: [u32; 4] = [0, 100, 1_000, 10_000];
/// Goal: milliseconds of latency beside any number of waits.
const LATENCY_AT_MOST: f64 = 1.0;
/// File descriptors for what is opened besides waiting requests.
const SPARE_FILES: usize = 100;
/// Limit of the wait until all requests wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Lengths of the lists above, and of the measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep {
    pub(crate) rows: usize,
    pub(crate) scrapes: usize,
    /// Time over which the CPU time is measured.
    pub(crate) window: Duration,
}

impl Sweep {
    /// Measures the three, one after another, and writes a table in Markdown of each.
    pub(crate) fn measure(&self, goals: &mut Goals, out: &mut dyn Write) -> anyhow::Result<()> {
        // A waiting request has a descriptor here, and one in the server, which inherits the limit and has fewer others.
        let others = fs::read_dir("/proc/self/fd")?.count() + SPARE_FILES;
        let most = raise_file_limit(WAITS[WAITS.len() - 1] + others) - others;
        writeln!(out, "## {TITLE} over the number of threads, idle\n")?;
        heading("threads", out)?;
        for threads in self.first(&THREADS) {
            let server = start(threads)?;
            self.row(&threads, &server, || wait(self.window), out)?;
        }
        writeln!(
            out,
            "\n## {TITLE} over the number of waiting requests, one thread\n"
        )?;
        heading("waits", out)?;
        let mut latencies = Vec::new();
        // As many as the limit on open files allows.
        let mut rows: Vec<usize> = self.first(&WAITS).map(|waits| waits.min(most)).collect();
        rows.dedup();
        for waits in rows {
            let server = start(1)?;
            let clients = wait_at(&server, waits)?;
            self.row(&waits, &server, || wait(self.window), out)?;
            latencies.push((waits, self.latency(&server)?));
            drop(clients);
        }
        writeln!(
            out,
            "\n| waits | 99th percentile of the latency of `/dummy` meanwhile, ms | goal | |\n|--:|--:|--:|---|"
        )?;
        for (waits, latency) in latencies {
            let name = format!("{TITLE}: `/dummy` beside {waits} waits, ms");
            let goal = goals.check(&name, latency, Some(LATENCY_AT_MOST));
            writeln!(out, "| {waits} | {latency:.2} | {goal} |")?;
        }
        writeln!(out, "\n## {TITLE} over the rate of requests, one thread\n")?;
        heading("requests/s", out)?;
        for rate in self.first(&RATES) {
            let server = start(1)?;
            let address = server.http.parse()?;
            let load = || match rate {
                0 => wait(self.window),
                rate => Client::new(address, Connections::Kept, Rate::PerSecond(rate))
                    .send_for(self.window)
                    .map(drop),
            };
            self.row(&rate, &server, load, out)?;
        }
        writeln!(out)?;
        Ok(())
    }

    /// Milliseconds within which 99 % of the responses of `/dummy` come, one after another on connections of their own.
    fn latency(&self, server: &Server) -> anyhow::Result<f64> {
        let address = server.http.parse()?;
        let mut took = Vec::new();
        for _ in 0..self.scrapes * 20 {
            let begun = Instant::now();
            get(address, "/dummy")?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            thread::sleep(Duration::from_millis(1));
        }
        took.sort_by(f64::total_cmp);
        Ok(took[took.len() * 99 / 100])
    }

    fn first<T: Copy>(&self, list: &[T]) -> impl Iterator<Item = T> {
        list.iter().copied().take(self.rows)
    }

    /// Measures the CPU time during `load`, then the memory and the scrapes, and writes a row.
    fn row(
        &self,
        name: &dyn std::fmt::Display,
        server: &Server,
        load: impl FnOnce() -> anyhow::Result<()>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let (before, begun) = (cpu_time(server)?, Instant::now());
        load()?;
        let cpu = cpu_time(server)?.saturating_sub(before).as_secs_f64();
        let share = 100.0 * cpu / begun.elapsed().as_secs_f64();
        let memory = memory(server, "VmRSS") as f64 / 1_048_576.0;
        let address = server.metrics.parse()?;
        let (mut took, mut series) = (Vec::new(), 0);
        for _ in 0..self.scrapes {
            let begun = Instant::now();
            let text = get(address, "/metrics").context("could not scrape")?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            series = text.lines().filter(|line| line.contains("} ")).count();
        }
        let [_, median, _] = quartiles(took.into_iter());
        writeln!(
            out,
            "| {name} | {share:.2} % | {memory:.1} | {median:.2} | {series} |"
        )?;
        Ok(())
    }
}

fn heading(first: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "| {first} | CPU | memory, MiB | scrape, ms | series |\n|--:|--:|--:|--:|--:|"
    )
}

fn wait(time: Duration) -> anyhow::Result<()> {
    thread::sleep(time);
    Ok(())
}

/// Starts an asynchronous server with limits above all that is measured.
fn start(threads: usize) -> anyhow::Result<Server> {
    let threads = threads.to_string();
    let server = Server::start(
        "async",
        &[
            "--threads",
            &threads,
            "--max-in-flight",
            "30000",
            "--read-timeout",
            "60",
        ],
    );
    // Its pools and caches.
    for _ in 0..20 {
        get(server.http.parse()?, "/dummy")?;
    }
    Ok(server)
}

/// Sends this many requests that wait for longer than the measurement, each on a connection of its own.
fn wait_at(server: &Server, waits: usize) -> anyhow::Result<Vec<TcpStream>> {
    let address: SocketAddr = server.http.parse()?;
    let request = b"GET /?seconds=300 HTTP/1.1\r\nhost: lab\r\n\r\n";
    let clients = (0..waits).map(|index| connect(address, index, request));
    let clients = clients.collect();
    let begun = Instant::now();
    let expected = format!("http_server_active_requests{{server=\"async\"}} {waits}\n");
    while !get(server.metrics.parse()?, "/metrics")?.contains(&expected) {
        ensure!(
            begun.elapsed() < TIMEOUT,
            "not all of {waits} requests wait"
        );
        thread::sleep(Duration::from_millis(100));
    }
    Ok(clients)
}

/// CPU time of all threads of a server, as of their last switches off the CPU.
fn cpu_time(server: &Server) -> anyhow::Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.process.pid()))?;
    let times = tasks.map(|task| cpu::time_of(&task?.path()));
    Ok(times.sum::<io::Result<_>>()?)
}
