//! The article's pair of requests: a long one, and `/dummy` while it lasts.

use std::time::{Duration, Instant};

use futures_util::future;

use crate::experiment::lab::{Exchange, Lab, Via};
use crate::experiment::{Error, Server, States};

/// What became of the two.
#[derive(Debug)]
pub(super) struct Pair {
    /// Threads of the server.
    pub(super) threads: usize,
    /// Threads that it may have beside those.
    pub(super) pool: usize,
    /// The long one.
    pub(super) long: Exchange,
    /// `/dummy`.
    pub(super) dummy: Exchange,
    /// What the server's threads did from before the first to after the last.
    pub(super) spent: States,
}

/// Asks for `path` and, `pause` later, for `/dummy`.
pub(super) async fn ask(
    lab: &Lab,
    server: Server,
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
