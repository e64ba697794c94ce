//! What a scrape costs: of many threads, and beside many viewers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use thread_states::metrics::{self, exporter};
use thread_states::{InFlight, Metrics, Registry, hold, parked};
use threadlab::{app, live};

use crate::comparison::quartiles;
use crate::cpu::Cpus;

/// Enough for a thread that only waits.
const STACK: usize = 64 * 1024;
/// Between two scrapes, as viewers' events come at any time.
const PAUSE: Duration = Duration::from_millis(37);

/// How much there is to scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scrape {
    /// Server threads, of which half are parked and half block.
    pub(crate) threads: usize,
    /// Viewers of the live page.
    pub(crate) viewers: usize,
    /// Milliseconds below which the median has to be; `None` where nothing is demanded.
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
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let (address, _threads) = cpus.as_server(|| self.start())??;
        let viewers = (0..self.viewers)
            .map(|_| view(address))
            .collect::<io::Result<Vec<_>>>()?;
        let mut took = Vec::new();
        // The first one is for warming up.
        for _ in 0..=times {
            viewers.iter().for_each(take_events);
            thread::sleep(PAUSE);
            took.push(self.scrape(address)?.as_secs_f64() * 1e3);
        }
        let [_, median, _] = quartiles(took.iter().skip(1).copied());
        let worst = took.into_iter().skip(1).fold(0.0, f64::max);
        let (bound, verdict) = match self.at_most {
            Some(bound) if median < bound => (format!("{bound}"), "met"),
            Some(bound) => (format!("{bound}"), "missed"),
            None => Default::default(),
        };
        writeln!(
            out,
            "## {}\n\n| ms (median) | worst of {times} | to be below | |\n|--:|--:|--:|---|\n\
             | {median:.2} | {worst:.2} | {bound} | {verdict} |\n",
            self.title()
        )?;
        Ok(())
    }

    /// Starts the threads, which end when what is returned is dropped, and their exporter.
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
                // Nothing is ever sent: it waits for the lock, or for the end.
                drop(ended.lock().map(|ended| ended.recv()));
            };
            thread::Builder::new().stack_size(STACK).spawn(wait)?;
        }
        all_wait.wait();
        let metrics = metrics::registry([Metrics::of(registry.clone())?])?;
        let routes = exporter::routes(metrics).merge(live::routes(
            vec![live::WatchedServer::new(registry, None)],
            &[],
            None,
        ));
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        Ok((exporter::spawn(listener, routes)?, end))
    }

    fn scrape(&self, address: SocketAddr) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let text = get(address, "/metrics").context("a scrape failed")?;
        let took = begun.elapsed();
        let walls = text.matches("\nthread_wall_seconds_total{").count();
        ensure!(
            walls == self.threads,
            "{walls} threads were scraped, not {}",
            self.threads
        );
        Ok(took)
    }
}

fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// A viewer of the live page.
fn view(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /threads/stream HTTP/1.1\r\nhost: lab\r\n\r\n")?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Takes what came, so that more can come.
fn take_events(mut viewer: &TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while matches!(viewer.read(&mut buffer), Ok(1..)) {}
}
