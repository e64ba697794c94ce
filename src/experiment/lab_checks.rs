//! Checks of a lab before and after an experiment: that it responds, is idle, and counts these requests.

use std::io;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::time::{sleep, timeout};

use super::client;
use super::error::Error;
use super::lab_client::LabClient;
use super::lab_server::LabServer;
use super::plural::plural;
use super::scrape::Scrape;
use crate::flavor::Flavor;

/// Time for the lab to finish what an earlier experiment left in flight, in addition to its wait.
const QUIET_MARGIN: Duration = Duration::from_secs(5);
/// Deadline of the request that checks whether the front still responds.
const FRONT_DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait of an earlier run (`--seconds`), whose requests a synchronous server finishes.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Time after which the wait for leftovers is explained.
const LEFTOVER_NOTICE: Duration = Duration::from_secs(1);

impl LabClient {
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
            let pending =
                |server: LabServer| scrape.in_flight(server) + scrape.accept_queue(server);
            // An event loop drops the requests whose clients have disconnected: these have a client.
            let mut servers: Vec<_> = self.all_servers().collect();
            servers.sort_by_key(|server| server.flavor() == Flavor::Sync);
            let busy = servers.into_iter().find(|server| pending(*server) > 0.0);
            let Some(server) = busy else {
                return Ok(scrape);
            };
            let total = self
                .all_servers()
                .map(|server| scrape.finished(server) + pending(server));
            let total: f64 = total.sum();
            let left_over = leftovers
                && server.flavor() == Flavor::Sync
                && total <= *arrived.get_or_insert(total);
            let limit = if left_over { LONGEST_WAIT } else { self.wait } + QUIET_MARGIN;
            if start.elapsed() > limit {
                let requests = pending(server);
                return Err(Error::Busy { server, requests });
            }
            if left_over && !noticed && start.elapsed() > LEFTOVER_NOTICE {
                noticed = true;
                let requests = plural(pending(server), "request");
                // Not beside the bar, which has no room for all of it.
                self.prompt(&format!(
                    "waiting until the {server} server has finished {requests} of an earlier run"
                ));
                self.show_step(&format!("waiting for the {server} server"));
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
        for server in self.all_servers() {
            for _ in 0..5 {
                let response = self.get(server, "/dummy").await.result;
                let response = response.map_err(|error| {
                    Error::unreachable("the front", "--url", &self.addresses.front, error)
                })?;
                match response.status {
                    StatusCode::OK => {}
                    StatusCode::NOT_FOUND | StatusCode::BAD_GATEWAY if server.is_original() => {
                        let reason = format!("/{server}/dummy returned {}", response.status);
                        return Err(Error::NoOriginal { server, reason });
                    }
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
}
