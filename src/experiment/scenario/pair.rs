//! The article's pair of requests: a long one, and `/dummy` while the long one is in flight.

use std::time::{Duration, Instant};

use futures_util::future;

use crate::experiment::attempt::Attempt;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::scrape::StateSeconds;
use crate::flavor::Flavor;

/// Results of the two requests.
#[derive(Debug)]
pub(super) struct Pair {
    /// Threads of the server.
    pub(super) threads: usize,
    /// Limit of threads of its blocking pool.
    pub(super) pool: usize,
    /// The long request.
    pub(super) long: Attempt,
    /// The request to `/dummy`.
    pub(super) dummy: Attempt,
    /// Thread states from before the first request to after the last.
    pub(super) spent: StateSeconds,
}

/// Sends `GET path` and, after `pause`, `GET /dummy`.
pub(super) async fn send(
    lab: &LabClient,
    server: Flavor,
    path: &str,
    pause: Duration,
) -> Result<Pair, Error> {
    let before = lab.scrape().await?;
    let start = Instant::now();
    let (long, dummy) = future::join(
        lab.get_at(server, Via::Front, path, start),
        lab.get_at(server, Via::Front, "/dummy", start + pause),
    )
    .await;
    let after = lab.scrape().await?;
    Ok(Pair {
        threads: after.threads(server),
        pool: after.pool(server),
        long,
        dummy,
        spent: after.states(server).since(&before.states(server)),
    })
}
