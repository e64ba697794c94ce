//! Client of one lab: sends requests to its servers, scrapes their metrics, and counts what it sent.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future;
use http::StatusCode;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{sleep, sleep_until, timeout};

use super::attempt::Attempt;
use super::capacity_plan::CapacityPlan;
use super::client;
use super::config::{LabAddresses, RunConfig};
use super::error::Error;
use super::histogram::Histogram;
use super::plural::plural;
use super::progress::Progress;
use super::report::{Generator, Setting};
use super::resolve::resolve;
use super::scrape::Scrape;
use crate::flavor::Flavor;

/// Deadline of a scrape, far above what one takes.
const SCRAPE_DEADLINE: Duration = Duration::from_secs(5);
/// Time for the lab to finish what an earlier experiment left in flight, in addition to its wait.
const QUIET_MARGIN: Duration = Duration::from_secs(5);
/// Deadline of the request that checks whether the front still responds.
const FRONT_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline after which a replica counts as dead.
const REPLICA_DEADLINE: Duration = Duration::from_secs(1);
/// Interval at which the running experiment is announced to the servers. They consider it ended 3 s after the
/// last announcement.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);

/// Interval at which the terminal is updated.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Longest wait of an earlier run (`--seconds`), whose requests a synchronous server finishes.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Time after which the wait for leftovers is explained.
const LEFTOVER_NOTICE: Duration = Duration::from_secs(1);

/// Route of a request to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// Through the front.
    Front,
    /// Directly to the server.
    Direct,
}

impl Via {
    /// Returns the name used in reports.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Direct => "direct",
        }
    }
}

/// Client of a lab that has responded on all of its metrics ports.
#[derive(Debug)]
pub(super) struct LabClient {
    addresses: LabAddresses,
    front: SocketAddr,
    sync: SocketAddr,
    r#async: SocketAddr,
    /// Wait of the article's `/`, from which each experiment derives its own.
    pub(super) wait: Duration,
    /// Load for which `capacity` plans, if it is given.
    pub(super) plan: Option<CapacityPlan>,
    progress: Rc<Progress>,
    sent: RefCell<Sent>,
}

/// Requests sent since the start of an experiment.
#[derive(Debug)]
struct Sent {
    requests: u64,
    lag: Histogram,
    since: Instant,
    cpu_at_start: Duration,
}

impl Sent {
    fn none() -> Self {
        Self {
            requests: 0,
            lag: Histogram::default(),
            since: Instant::now(),
            cpu_at_start: cpu_time(),
        }
    }
}

impl LabClient {
    /// Resolves the addresses and checks that the metrics ports export both servers.
    ///
    /// # Errors
    ///
    /// If a part of the lab does not respond; the error says which, and its address.
    pub(super) async fn connect(config: &RunConfig, progress: Rc<Progress>) -> Result<Self, Error> {
        let addresses = config.addresses.clone();
        let lab = Self {
            front: resolve("the front", "--url", &addresses.front).await?[0],
            sync: resolve("the synchronous server", "--sync", &addresses.sync).await?[0],
            r#async: resolve("the asynchronous server", "--async", &addresses.r#async).await?[0],
            addresses,
            wait: config.wait,
            plan: config.plan,
            progress,
            sent: RefCell::new(Sent::none()),
        };
        let scrape = lab.scrape().await?;
        for server in Flavor::ALL {
            if scrape.threads(server) == 0 {
                return Err(Error::NotExported {
                    server,
                    metrics: lab.addresses.metrics.join(","),
                });
            }
        }
        Ok(lab)
    }

    /// Shows the current step beside the progress bar, if stderr is a terminal.
    pub(super) fn show_step(&self, step: &str) {
        self.progress.show_step(step);
    }

    /// Scrapes every metrics port.
    ///
    /// # Errors
    ///
    /// If one does not respond.
    pub(super) async fn scrape(&self) -> Result<Scrape, Error> {
        let mut scrape = Scrape::default();
        for port in &self.addresses.metrics {
            // Resolved at each scrape, because the replicas behind a name may change.
            for address in resolve("the metrics port", "--metrics", port).await? {
                let response = timeout(SCRAPE_DEADLINE, client::get(address, port, "/metrics"));
                let response = response.await;
                let response = response.map_err(|_| Error::SilentMetrics(port.clone()))?;
                let response = response.map_err(|error| {
                    Error::unreachable("the metrics port", "--metrics", port, error)
                })?;
                scrape.add(&String::from_utf8_lossy(&response.body));
            }
        }
        Ok(scrape)
    }

    /// Scrapes the metrics ports that respond: where replicas come and go, those that are alive.
    pub(super) async fn scrape_living(&self) -> Scrape {
        let mut scrape = Scrape::default();
        for port in &self.addresses.metrics {
            let addresses = resolve("the metrics port", "--metrics", port).await;
            for address in addresses.unwrap_or_default() {
                let response = client::get(address, port, "/metrics");
                if let Ok(Ok(response)) = timeout(REPLICA_DEADLINE, response).await {
                    scrape.add(&String::from_utf8_lossy(&response.body));
                }
            }
        }
        scrape
    }

    /// Prints a request to the person or script that runs the experiment on stderr, terminal or not.
    pub(super) fn prompt(&self, text: &str) {
        // If stderr is closed, nobody can read a prompt.
        let print = || writeln!(io::stderr(), "{text}");
        let _ = self.progress.suspend(print);
    }

    /// Announces the running experiment to every metrics port, for as long as the future is polled.
    pub(super) async fn announce(&self, experiment: &str) -> Infallible {
        let path = format!("/experiments/{experiment}");
        loop {
            for port in &self.addresses.metrics {
                let addresses = resolve("the metrics port", "--metrics", port).await;
                for address in addresses.unwrap_or_default() {
                    // A failure costs a mark in the dashboards. It does not affect the result.
                    let _ = timeout(ANNOUNCE_INTERVAL, client::post(address, port, &path)).await;
                }
            }
            sleep(ANNOUNCE_INTERVAL).await;
        }
    }

    /// Draws progress and thread states, for as long as the future is polled, if stderr is a terminal.
    pub(super) async fn show_progress(&self) -> Infallible {
        if !self.progress.is_visible() {
            return future::pending().await;
        }
        let mut started = false;
        loop {
            // What cannot be scraped now is an error of the experiment, not of its display.
            if let Ok(scrape) = self.scrape().await {
                if !std::mem::replace(&mut started, true) {
                    self.progress.start(&scrape);
                }
                self.progress.update(&scrape);
            }
            sleep(PROGRESS_INTERVAL).await;
        }
    }

    /// Sends `GET path` to a server at `intended`, or now if that time has passed.
    pub(super) async fn get_at(
        &self,
        server: Flavor,
        via: Via,
        path: &str,
        intended: Instant,
    ) -> Attempt {
        sleep_until(intended.into()).await;
        self.count_sent(intended.elapsed());
        let (address, host) = self.address(server, via);
        let result = match via {
            Via::Front => client::get(address, host, &format!("/{server}{path}")).await,
            Via::Direct => client::get(address, host, path).await,
        };
        Attempt::new(intended, result)
    }

    /// Sends `GET path` to a server now, through the front.
    pub(super) async fn get(&self, server: Flavor, path: &str) -> Attempt {
        self.get_at(server, Via::Front, path, Instant::now()).await
    }

    /// Returns the address to connect to, resolved and as given.
    pub(super) fn address(&self, server: Flavor, via: Via) -> (SocketAddr, &str) {
        match (via, server) {
            (Via::Front, _) => (self.front, &self.addresses.front),
            (Via::Direct, Flavor::Sync) => (self.sync, &self.addresses.sync),
            (Via::Direct, Flavor::Async) => (self.r#async, &self.addresses.r#async),
        }
    }

    /// Counts a request that was sent `lag` after its scheduled time.
    pub(super) fn count_sent(&self, lag: Duration) {
        let mut sent = self.sent.borrow_mut();
        sent.requests += 1;
        sent.lag.record(lag);
    }

    /// Waits until no server has a request in flight or a connection in its accept queue, and returns
    /// the scrape that showed it.
    ///
    /// # Errors
    ///
    /// If that takes longer than any request of the experiments: someone else is using the lab.
    pub(super) async fn wait_until_quiet(&self) -> Result<Scrape, Error> {
        self.quiet(false).await
    }

    /// As [`LabClient::wait_until_quiet`], but waits longer for what an interrupted run left on the synchronous
    /// server: its threads finish requests whose clients have disconnected.
    ///
    /// # Errors
    ///
    /// If the asynchronous server stays busy, or either server gets new requests: someone else is using the lab.
    pub(super) async fn wait_for_leftovers(&self) -> Result<Scrape, Error> {
        self.quiet(true).await
    }

    async fn quiet(&self, leftovers: bool) -> Result<Scrape, Error> {
        let start = Instant::now();
        let mut arrived = None;
        let mut noticed = false;
        loop {
            let scrape = self.scrape().await?;
            let pending = |server| scrape.in_flight(server) + scrape.accept_queue(server);
            // An event loop drops the requests whose clients have disconnected: these have a client.
            let busy = [Flavor::Async, Flavor::Sync].into_iter();
            let Some(server) = busy.into_iter().find(|server| pending(*server) > 0.0) else {
                return Ok(scrape);
            };
            let total = Flavor::ALL.map(|server| scrape.finished(server) + pending(server));
            let total: f64 = total.iter().sum();
            let left_over =
                leftovers && server == Flavor::Sync && total <= *arrived.get_or_insert(total);
            let limit = if left_over { LONGEST_WAIT } else { self.wait } + QUIET_MARGIN;
            if start.elapsed() > limit {
                let requests = pending(server);
                return Err(Error::Busy { server, requests });
            }
            if left_over && start.elapsed() > LEFTOVER_NOTICE {
                let requests = plural(pending(server), "request");
                let notice = format!(
                    "waiting until the sync server has finished {requests} of an earlier run, whose clients have disconnected"
                );
                self.show_step(&notice);
                if !std::mem::replace(&mut noticed, true) && !self.progress.is_visible() {
                    self.prompt(&notice);
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a few cheap requests, so that no first connection is part of a measurement.
    ///
    /// # Errors
    ///
    /// If the front or a server does not return 200.
    pub(super) async fn warm_up(&self) -> Result<(), Error> {
        for server in Flavor::ALL {
            for _ in 0..5 {
                let response = self.get(server, "/dummy").await.result;
                let response = response.map_err(|error| {
                    Error::unreachable("the front", "--url", &self.addresses.front, error)
                })?;
                match response.status {
                    StatusCode::OK => {}
                    StatusCode::NOT_FOUND => {
                        let address = self.addresses.front.clone();
                        return Err(Error::NotAFront { address, server });
                    }
                    status => return Err(Error::NotReady { server, status }),
                }
            }
        }
        Ok(())
    }

    /// Checks that the requests of [`LabClient::warm_up`] are in the metrics.
    ///
    /// # Errors
    ///
    /// If they are not: the front belongs to another lab than the metrics.
    pub(super) fn check_counted(&self, before: &Scrape, after: &Scrape) -> Result<(), Error> {
        let counted = Flavor::ALL.map(|server| after.finished(server) > before.finished(server));
        if counted == [true; 2] {
            return Ok(());
        }
        Err(Error::OtherLab {
            front: self.addresses.front.clone(),
            metrics: self.addresses.metrics.join(","),
        })
    }

    /// Checks that the front still responds.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub(super) async fn check_front(&self) -> Result<(), Error> {
        let front = &self.addresses.front;
        let response = timeout(FRONT_DEADLINE, client::get(self.front, front, "/")).await;
        let response = response.unwrap_or_else(|late| Err(io::Error::from(late).into()));
        let unreachable = |error| Error::unreachable("the front", "--url", front, error);
        response.map(drop).map_err(unreachable)
    }

    /// Resets the count of sent requests. [`LabClient::generator`] counts from here.
    pub(super) fn reset_sent(&self) {
        self.sent.replace(Sent::none());
    }

    /// Returns how well the load was generated since [`LabClient::reset_sent`].
    pub(super) fn generator(&self) -> Generator {
        let sent = self.sent.borrow();
        let elapsed = sent.since.elapsed().as_secs_f64();
        Generator {
            requests: sent.requests,
            lag_p99_seconds: sent.lag.quantile(0.99).as_secs_f64(),
            lag_max_seconds: sent.lag.max().as_secs_f64(),
            cpu_share: cpu_time().saturating_sub(sent.cpu_at_start).as_secs_f64()
                / elapsed.max(1e-3),
        }
    }

    /// Returns the number of requests that the servers finished between two scrapes and that this client
    /// did not send.
    pub(super) fn foreign_requests(&self, before: &Scrape, after: &Scrape) -> f64 {
        let finished = |scrape: &Scrape| {
            Flavor::ALL
                .map(|server| scrape.finished(server))
                .iter()
                .sum::<f64>()
        };
        let sent = self.sent.borrow().requests;
        (finished(after) - finished(before) - sent as f64).max(0.0)
    }

    /// Returns the conditions of a measurement, as reported beside each number.
    #[must_use]
    pub(super) fn setting(
        &self,
        server: Flavor,
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

/// Returns the CPU time of this process. Generating load is all it does.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
