//! Client of one lab: sends requests to its servers, scrapes their metrics, and counts what it sent.

use std::cell::RefCell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future;
use tokio::time::{sleep, sleep_until, timeout};

use super::attempt::Attempt;
use super::capacity_plan::CapacityPlan;
use super::client;
use super::config::{LabAddresses, RunConfig};
use super::error::Error;
use super::lab_server::LabServer;
use super::live_states::LiveStates;
use super::progress::Progress;
use super::report::{Generator, Setting};
use super::resolve::resolve;
use super::scrape::Scrape;
use super::sent::Sent;
use crate::flavor::Flavor;

/// Deadline of a scrape, far above what one takes.
const SCRAPE_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline after which a replica counts as dead.
const REPLICA_DEADLINE: Duration = Duration::from_secs(1);
/// Interval at which the running experiment is announced to the servers. They consider it ended 3 s after the
/// last announcement.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);

/// Interval at which the terminal is updated.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
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
    pub(super) addresses: LabAddresses,
    pub(super) front: SocketAddr,
    sync: SocketAddr,
    r#async: SocketAddr,
    /// Wait of the article's `/`, from which each experiment derives its own.
    pub(super) wait: Duration,
    /// Load for which `capacity` plans, if it is given.
    pub(super) plan: Option<CapacityPlan>,
    /// Servers that `article`, `matrix` and `drivers` compare.
    pub(super) servers: Vec<LabServer>,
    pub(super) progress: Rc<Progress>,
    sent: RefCell<Sent>,
}

impl LabClient {
    /// Resolves the addresses and checks that the metrics ports export both servers, and the chosen ones of the
    /// article's programs.
    ///
    /// # Errors
    ///
    /// If a part of the lab does not respond; the error says which, and its address.
    pub(super) async fn connect(config: &RunConfig, progress: Rc<Progress>) -> Result<Self, Error> {
        let mut addresses = config.addresses.clone();
        let mut silent = Vec::new();
        if config.servers.iter().any(|server| server.is_original()) {
            (addresses.watchers, silent) = responding(&addresses.watchers).await;
        } else {
            addresses.watchers.clear();
        }
        let lab = Self {
            front: resolve("the front", "--url", &addresses.front).await?[0],
            sync: resolve("the synchronous server", "--sync", &addresses.sync).await?[0],
            r#async: resolve("the asynchronous server", "--async", &addresses.r#async).await?[0],
            addresses,
            wait: config.wait,
            plan: config.plan,
            servers: config.servers.clone(),
            progress,
            sent: RefCell::new(Sent::default()),
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
        if let Some(server) = lab.originals().find(|server| scrape.threads(*server) == 0) {
            let reason = match &silent[..] {
                [] => "no metrics port (--metrics, --watchers) exports its threads".into(),
                silent => format!("no response from {} (--watchers)", silent.join(", ")),
            };
            return Err(Error::NoOriginal { server, reason });
        }
        Ok(lab)
    }

    /// Returns the servers that the experiments use: the lab's own, and the chosen ones of the article's programs.
    pub(super) fn all_servers(&self) -> impl Iterator<Item = LabServer> {
        LabServer::OWN.into_iter().chain(self.originals())
    }

    fn originals(&self) -> impl Iterator<Item = LabServer> {
        let servers = self.servers.iter().copied();
        servers.filter(|server| server.is_original())
    }

    /// Returns the metrics ports of the lab's servers and of the watchers that respond.
    fn metrics_ports(&self) -> impl Iterator<Item = &String> {
        let addresses = &self.addresses;
        addresses.metrics.iter().chain(&addresses.watchers)
    }

    /// Shows the current step beside the progress bar, if stderr is a terminal.
    pub(super) fn show_step(&self, step: &str) {
        self.progress.show_step(step);
    }

    /// Changes the planned duration of the current experiment, once it is known what the lab has.
    pub(super) fn plan(&self, duration: Duration) {
        self.progress.plan(duration);
    }

    /// Scrapes every metrics port, each address once: what two names of one port export would count twice.
    ///
    /// # Errors
    ///
    /// If one does not respond.
    pub(super) async fn scrape(&self) -> Result<Scrape, Error> {
        let mut scrape = Scrape::default();
        let mut scraped = HashSet::new();
        for port in self.metrics_ports() {
            // Resolved at each scrape, because the replicas behind a name may change.
            let addresses = resolve("the metrics port", "--metrics", port).await?;
            for address in addresses
                .into_iter()
                .filter(|address| scraped.insert(*address))
            {
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
        let mut scraped = HashSet::new();
        for port in &self.addresses.metrics {
            let addresses = resolve("the metrics port", "--metrics", port).await;
            let addresses = addresses.unwrap_or_default().into_iter();
            for address in addresses.filter(|address| scraped.insert(*address)) {
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
        let servers: Vec<_> = self.all_servers().collect();
        let ports: Vec<_> = self.metrics_ports().cloned().collect();
        let live = LiveStates::default();
        self.progress.start(&servers);
        let draw = async {
            loop {
                self.progress.update(|server| live.of(server));
                sleep(PROGRESS_INTERVAL).await;
            }
        };
        // Neither ends.
        future::join(live.follow(&ports, &servers), draw).await.1
    }

    /// Sends `GET path` to a server at `intended`, or now if that time has passed.
    pub(super) async fn get_at(
        &self,
        server: Flavor,
        via: Via,
        path: &str,
        intended: Instant,
    ) -> Attempt {
        if via == Via::Front {
            return self.get_through_front(server.into(), path, intended).await;
        }
        sleep_until(intended.into()).await;
        self.count_sent(server, intended.elapsed());
        let (address, host) = self.address(server, via);
        Attempt::new(intended, client::get(address, host, path).await)
    }

    /// Sends `GET path` to a server through the front at `intended`, or now if that time has passed.
    pub(super) async fn get_through_front(
        &self,
        server: LabServer,
        path: &str,
        intended: Instant,
    ) -> Attempt {
        sleep_until(intended.into()).await;
        self.count_sent(server, intended.elapsed());
        let path = format!("/{server}{path}");
        let result = client::get(self.front, &self.addresses.front, &path).await;
        Attempt::new(intended, result)
    }

    /// Sends `GET path` to a server now, through the front.
    pub(super) async fn get(&self, server: impl Into<LabServer>, path: &str) -> Attempt {
        self.get_through_front(server.into(), path, Instant::now())
            .await
    }

    /// Returns the address to connect to, resolved and as given.
    pub(super) fn address(&self, server: Flavor, via: Via) -> (SocketAddr, &str) {
        match (via, server) {
            (Via::Front, _) => (self.front, &self.addresses.front),
            (Via::Direct, Flavor::Sync) => (self.sync, &self.addresses.sync),
            (Via::Direct, Flavor::Async) => (self.r#async, &self.addresses.r#async),
        }
    }

    /// Counts a request that was sent to a server `lag` after its scheduled time.
    pub(super) fn count_sent(&self, server: impl Into<LabServer>, lag: Duration) {
        self.sent.borrow_mut().count(server.into(), lag);
    }

    /// Resets the count of sent requests. [`LabClient::generator`] counts from here.
    pub(super) fn reset_sent(&self) {
        self.sent.replace(Sent::default());
    }

    /// Returns how well the load was generated since [`LabClient::reset_sent`].
    pub(super) fn generator(&self) -> Generator {
        self.sent.borrow().generator()
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
        let sent = self.sent.borrow().counted_by_servers();
        (finished(after) - finished(before) - sent as f64).max(0.0)
    }

    /// Returns the conditions of a measurement, as reported beside each number.
    #[must_use]
    pub(super) fn setting(
        &self,
        server: impl Into<LabServer>,
        via: Via,
        threads: usize,
        wait: Duration,
        load: impl Into<String>,
    ) -> Setting {
        Setting {
            server: server.into().as_str(),
            via: via.as_str(),
            threads,
            pool_threads: None,
            wait_seconds: wait.as_secs_f64(),
            load: load.into(),
        }
    }
}

/// Splits metrics ports into those that respond and those that do not.
async fn responding(ports: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut responding, mut silent) = (Vec::new(), Vec::new());
    for port in ports {
        let responds = async {
            let addresses = resolve("the metrics port", "--watchers", port).await;
            for address in addresses? {
                let response = client::get(address, port, "/healthz").await;
                response.map_err(|error| {
                    Error::unreachable("the metrics port", "--watchers", port, error)
                })?;
            }
            Ok::<_, Error>(())
        };
        match timeout(REPLICA_DEADLINE, responds).await {
            Ok(Ok(())) => responding.push(port.clone()),
            _ => silent.push(port.clone()),
        }
    }
    (responding, silent)
}
