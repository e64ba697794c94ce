//! Cost of a scrape: with many threads, and with many viewers of the live page.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use thread_states::metrics::{Exposition, exporter};
use thread_states::{InFlight, Metrics, Registry, hold, parked};
use threadlab::{app, live};

use crate::comparison::quartiles;
use crate::cpu::Cpus;
use crate::goal::Goals;

/// Bytes of stack, enough for a thread that only waits.
const STACK: usize = 64 * 1024;
/// Time between two scrapes. No divisor of the interval of the viewers' events, so that scrapes meet all phases of it.
const PAUSE: Duration = Duration::from_millis(37);

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scrape {
    /// Number of server threads, half of them parked and half blocked.
    pub(crate) threads: usize,
    /// Number of viewers of the live page.
    pub(crate) viewers: usize,
    /// Goal of the median in milliseconds; `None` if there is none.
    pub(crate) at_most: Option<f64>,
}

impl Scrape {
    pub(crate) fn title(&self) -> String {
        let Self {
            threads, viewers, ..
        } = self;
        match viewers {
            0 => format!("a scrape of {threads} threads"),
            _ => format!("a scrape of {threads} threads beside {viewers} viewers"),
        }
    }

    /// Scrapes this many times, and writes a table in Markdown.
    pub(crate) fn measure(
        &self,
        times: usize,
        cpus: &Cpus,
        goals: &mut Goals,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let (address, _threads) = cpus.as_server(|| self.start())??;
        let viewers = (0..self.viewers)
            .map(|_| view(address))
            .collect::<io::Result<Vec<_>>>()?;
        let (mut took, mut page) = (Vec::new(), Vec::new());
        // The first one is a warm-up.
        for _ in 0..=times {
            viewers.iter().for_each(receive_events);
            thread::sleep(PAUSE);
            took.push(self.scrape(address, &mut page)?.as_secs_f64() * 1e3);
        }
        let [_, median, _] = quartiles(took.iter().skip(1).copied());
        let worst = took.into_iter().skip(1).fold(0.0, f64::max);
        let goal = goals.check(&self.title(), median, self.at_most);
        writeln!(
            out,
            "## {}\n\n| ms (median) | longest of {times} | goal | |\n|--:|--:|--:|---|\n\
             | {median:.2} | {worst:.2} | {goal} |\n",
            self.title()
        )?;
        Ok(())
    }

    /// Starts the threads and their exporter. The threads end when the returned sender is dropped.
    fn start(&self) -> anyhow::Result<(SocketAddr, mpsc::Sender<()>)> {
        let routes = app::ROUTES.iter().map(|route| (*route).to_owned());
        let registry = Registry::new("bench", routes);
        let (end, ended) = mpsc::channel();
        let ended = Arc::new(Mutex::new(ended));
        let all_wait = Arc::new(Barrier::new(self.threads + 1));
        for index in 0..self.threads {
            let (registry, ended) = (registry.clone(), Arc::clone(&ended));
            let all_wait = Arc::clone(&all_wait);
            let wait = move || {
                let _registration = registry.register(index, InFlight::new());
                let _parked = (index % 2 == 0).then(parked);
                let _hold = (index % 2 == 1).then(|| hold(0));
                all_wait.wait();
                // Nothing is ever sent: one thread waits for the sender's end, all others for the lock.
                drop(ended.lock().map(|ended| ended.recv()));
            };
            thread::Builder::new().stack_size(STACK).spawn(wait)?;
        }
        all_wait.wait();
        let metrics = Exposition::new([Metrics::of(registry.clone())])?;
        let routes = exporter::routes(metrics).merge(live::routes(
            vec![live::WatchedServer::new(registry, None)],
            &[],
            None,
        ));
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        Ok((exporter::spawn(listener, routes)?.address(), end))
    }

    /// Returns the time until the client has the whole page. It reuses the memory of the page, as Prometheus does.
    fn scrape(&self, address: SocketAddr, page: &mut Vec<u8>) -> anyhow::Result<Duration> {
        page.clear();
        let begun = Instant::now();
        receive(address, "/metrics", page).context("could not scrape")?;
        let took = begun.elapsed();
        let text = std::str::from_utf8(page)?;
        let walls = text.matches("\nthread_wall_seconds_total{").count();
        ensure!(
            walls == self.threads,
            "the scrape had {walls} threads, not {}",
            self.threads
        );
        Ok(took)
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut response = Vec::new();
    receive(address, path, &mut response)?;
    String::from_utf8(response).map_err(io::Error::other)
}

/// Sends `GET path` on a new connection, and appends the response as it is sent.
fn receive(address: SocketAddr, path: &str, response: &mut Vec<u8>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
    )?;
    stream.read_to_end(response)?;
    Ok(())
}

/// Connects a viewer of the live page.
fn view(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /threads/stream HTTP/1.1\r\nhost: lab\r\n\r\n")?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Receives the pending events, so that the exporter can send more.
fn receive_events(mut viewer: &TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while matches!(viewer.read(&mut buffer), Ok(1..)) {}
}
