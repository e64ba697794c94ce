//! The lab as an experiment sees it: a front, two servers behind it, and their metrics ports.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::lookup_host;
use tokio::time::{sleep, sleep_until, timeout};

use super::client::{self, Answer, Failure};
use super::error::Error;
use super::report::{Generator, Setting};
use super::scrape::Scrape;
use super::{Histogram, Server, Target};

/// Longer than any scrape takes.
const SCRAPE_DEADLINE: Duration = Duration::from_secs(5);
/// How long the lab may take to finish what the experiment before left behind, beyond its waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a replica that lives may take to say so.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How often the servers are told which experiment runs: they believe it for 3 s.
const ANNOUNCED_EVERY: Duration = Duration::from_secs(1);

/// Which way a request takes to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// Through the web server in front.
    Front,
    /// Straight to the gateway.
    Direct,
}

impl Via {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Direct => "direct",
        }
    }
}

/// A request, answered or not.
#[derive(Debug)]
pub(super) struct Exchange {
    /// When it was to be sent: latencies count from here.
    pub(super) intended: Instant,
    /// What came of it.
    pub(super) result: Result<Answer, Failure>,
    ended: Instant,
}

impl Exchange {
    /// From the intended time of sending to the end of the answer, or to the failure.
    #[must_use]
    pub(super) fn latency(&self) -> Duration {
        self.ended.saturating_duration_since(self.intended)
    }

    /// Whether there is an answer and it is 200.
    #[must_use]
    pub(super) fn succeeded(&self) -> bool {
        self.result
            .as_ref()
            .is_ok_and(|answer| answer.status == http::StatusCode::OK)
    }

    /// Its latency if it succeeded; else infinite, which no prediction allows.
    #[must_use]
    pub(super) fn seconds(&self) -> f64 {
        if self.succeeded() {
            self.latency().as_secs_f64()
        } else {
            f64::INFINITY
        }
    }
}

/// A lab that answers.
#[derive(Debug)]
pub(super) struct Lab {
    target: Target,
    front: SocketAddr,
    direct: [SocketAddr; 2],
    /// The wait of the article's `/`, from which each experiment derives its own.
    pub(super) wait: Duration,
    progress: ProgressBar,
    load: RefCell<Sent>,
}

/// What was sent since the experiment began.
#[derive(Debug)]
struct Sent {
    requests: u64,
    lag: Histogram,
    since: Instant,
    cpu: Duration,
}

impl Sent {
    fn nothing() -> Self {
        Self {
            requests: 0,
            lag: Histogram::default(),
            since: Instant::now(),
            cpu: cpu_time(),
        }
    }
}

impl Lab {
    /// Finds the lab and sees whether all of it answers.
    ///
    /// # Errors
    ///
    /// If a part of it does not: which, at which address.
    pub(super) async fn find(
        target: Target,
        wait: Duration,
        progress: ProgressBar,
    ) -> Result<Self, Error> {
        let lab = Self {
            front: resolve("the front", "--url", &target.front).await?[0],
            direct: [
                resolve("the synchronous server", "--sync", &target.sync).await?[0],
                resolve("the asynchronous server", "--async", &target.r#async).await?[0],
            ],
            target,
            wait,
            progress,
            load: RefCell::new(Sent::nothing()),
        };
        let scrape = lab.scrape().await?;
        for server in Server::BOTH {
            if scrape.threads(server) == 0 {
                return Err(Error::NotExported {
                    server,
                    metrics: lab.target.metrics.join(","),
                });
            }
        }
        Ok(lab)
    }

    /// Shows what is being done, where someone can see it.
    pub(super) fn say(&self, what: &str) {
        self.progress.set_message(what.to_owned());
    }

    /// What every metrics port says now.
    ///
    /// # Errors
    ///
    /// If one does not answer.
    pub(super) async fn scrape(&self) -> Result<Scrape, Error> {
        let mut scrape = Scrape::default();
        for port in &self.target.metrics {
            // Asked for anew each time: a name stands for as many replicas as live.
            for address in resolve("the metrics port", "--metrics", port).await? {
                let answer = timeout(SCRAPE_DEADLINE, client::get(address, port, "/metrics")).await;
                let answer = answer.map_err(|_| Error::SilentMetrics(port.clone()))?;
                let answer = answer.map_err(|failure| {
                    Error::unreachable("the metrics port", "--metrics", port, failure)
                })?;
                scrape.add(&String::from_utf8_lossy(&answer.body));
            }
        }
        Ok(scrape)
    }

    /// What those metrics ports say that answer: of replicas that come and go, those that live.
    pub(super) async fn scrape_living(&self) -> Scrape {
        let mut scrape = Scrape::default();
        for port in &self.target.metrics {
            let addresses = resolve("the metrics port", "--metrics", port).await;
            for address in addresses.unwrap_or_default() {
                let answer = timeout(SIGN_OF_LIFE, client::get(address, port, "/metrics")).await;
                if let Ok(Ok(answer)) = answer {
                    scrape.add(&String::from_utf8_lossy(&answer.body));
                }
            }
        }
        scrape
    }

    /// Asks whoever runs the experiment to do something, on stderr, whether it is a terminal or not.
    pub(super) fn ask(&self, what: &str) {
        // Where stderr is closed, nobody reads it.
        let asked = || writeln!(io::stderr(), "{what}");
        let _ = self.progress.suspend(asked);
    }

    /// Tells every metrics port, as long as it is polled, that this experiment runs.
    pub(super) async fn announce(&self, experiment: &str) -> Infallible {
        let path = format!("/experiments/{experiment}");
        loop {
            for port in &self.target.metrics {
                let addresses = resolve("the metrics port", "--metrics", port).await;
                for address in addresses.unwrap_or_default() {
                    // Without it a mark is missing in the graphs, and the run is as good as with it.
                    let _ = timeout(ANNOUNCED_EVERY, client::post(address, port, &path)).await;
                }
            }
            sleep(ANNOUNCED_EVERY).await;
        }
    }

    /// Asks a server for `path` at `intended`, or at once if that is over.
    pub(super) async fn get_at(
        &self,
        server: Server,
        via: Via,
        path: &str,
        intended: Instant,
    ) -> Exchange {
        sleep_until(intended.into()).await;
        self.sent(intended.elapsed());
        let (address, host) = self.address(server, via);
        let result = match via {
            Via::Front => client::get(address, host, &format!("/{server}{path}")).await,
            Via::Direct => client::get(address, host, path).await,
        };
        let ended = result
            .as_ref()
            .map_or_else(|_| Instant::now(), |answer| answer.ended);
        Exchange {
            intended,
            result,
            ended,
        }
    }

    /// Asks a server for `path` now, through the front.
    pub(super) async fn get(&self, server: Server, path: &str) -> Exchange {
        self.get_at(server, Via::Front, path, Instant::now()).await
    }

    /// The address that `via` begins at, resolved and as it was given.
    pub(super) fn address(&self, server: Server, via: Via) -> (SocketAddr, &str) {
        match (via, server) {
            (Via::Front, _) => (self.front, &self.target.front),
            (Via::Direct, Server::Sync) => (self.direct[0], &self.target.sync),
            (Via::Direct, Server::Async) => (self.direct[1], &self.target.r#async),
        }
    }

    /// Notes a request that was sent `lag` after its time.
    pub(super) fn sent(&self, lag: Duration) {
        let mut load = self.load.borrow_mut();
        load.requests += 1;
        load.lag.record(lag);
    }

    /// Waits until the servers have nothing to do.
    ///
    /// # Errors
    ///
    /// If that takes longer than anything of ours could: someone else uses the lab.
    pub(super) async fn quiet(&self) -> Result<Scrape, Error> {
        let deadline = Instant::now() + self.wait + PATIENCE;
        loop {
            let scrape = self.scrape().await?;
            let busy =
                |server: &Server| scrape.in_flight(*server) + scrape.accept_queue(*server) > 0.0;
            let Some(server) = Server::BOTH.into_iter().find(busy) else {
                return Ok(scrape);
            };
            if Instant::now() > deadline {
                let requests = scrape.in_flight(server);
                return Err(Error::Busy { server, requests });
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks for a few cheap answers, so that no first connection is measured, and then forgets
    /// what was sent until now.
    ///
    /// # Errors
    ///
    /// If the front or a server does not answer as it should.
    pub(super) async fn warm_up(&self) -> Result<(), Error> {
        for server in Server::BOTH {
            for _ in 0..5 {
                let answer = self.get(server, "/dummy").await.result;
                let answer = answer.map_err(|failure| {
                    Error::unreachable("the front", "--url", &self.target.front, failure)
                })?;
                if answer.status != http::StatusCode::OK {
                    return Err(Error::NotReady {
                        server,
                        status: answer.status,
                    });
                }
            }
        }
        Ok(())
    }

    /// Sees whether the front is still there.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub(super) async fn find_front(&self) -> Result<(), Error> {
        let front = &self.target.front;
        let answer = timeout(PATIENCE, client::get(self.front, front, "/")).await;
        let answer = answer.unwrap_or_else(|late| Err(io::Error::from(late).into()));
        let gone = |failure| Error::unreachable("the front", "--url", front, failure);
        answer.map(drop).map_err(gone)
    }

    /// Forgets what was sent until now.
    pub(super) fn begin(&self) {
        self.load.replace(Sent::nothing());
    }

    /// How well the load was generated since [`Lab::begin`].
    pub(super) fn generator(&self) -> Generator {
        let load = self.load.borrow();
        let elapsed = load.since.elapsed().as_secs_f64();
        Generator {
            requests: load.requests,
            lag_p99_seconds: load.lag.quantile(0.99).as_secs_f64(),
            lag_max_seconds: load.lag.max().as_secs_f64(),
            cpu_share: cpu_time().saturating_sub(load.cpu).as_secs_f64() / elapsed.max(1e-3),
        }
    }

    /// Requests that the servers finished between two scrapes and that were not ours.
    pub(super) fn strangers(&self, before: &Scrape, after: &Scrape) -> f64 {
        let finished = |scrape: &Scrape| {
            Server::BOTH
                .map(|server| scrape.finished(server))
                .iter()
                .sum::<f64>()
        };
        let sent = self.load.borrow().requests;
        (finished(after) - finished(before) - sent as f64).max(0.0)
    }

    /// What stands beside each number: which server, with how many threads, under which load.
    #[must_use]
    pub(super) fn setting(
        &self,
        server: Server,
        via: Via,
        threads: usize,
        wait: Duration,
        load: impl Into<String>,
    ) -> Setting {
        Setting {
            server: server.as_str(),
            via: via.as_str(),
            threads,
            pool_threads: None,
            wait_seconds: wait.as_secs_f64(),
            load: load.into(),
        }
    }
}

/// The addresses that a name stands for, at least one; those of IPv6 only if there are no others.
/// `localhost` stands for both, and a lab listens on one.
async fn resolve(
    part: &'static str,
    flag: &'static str,
    address: &str,
) -> Result<Vec<SocketAddr>, Error> {
    let unknown = |source| Error::Name {
        part,
        flag,
        address: address.to_owned(),
        source,
    };
    let addresses = lookup_host(address).await.map_err(unknown)?;
    let (mut chosen, others): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv4);
    if chosen.is_empty() {
        chosen = others;
    }
    if chosen.is_empty() {
        return Err(unknown(std::io::ErrorKind::NotFound.into()));
    }
    Ok(chosen)
}

/// The CPU time of this process, which does nothing but generate load.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
