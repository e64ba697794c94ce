//! The article's pair of requests: a long one, and `/dummy` while the long one is in flight.

use std::time::{Duration, Instant};

use futures_util::future;
use tokio::time::sleep;

use crate::experiment::attempt::Attempt;
use crate::experiment::error::Error;
use crate::experiment::lab_client::LabClient;
use crate::experiment::lab_server::LabServer;
use crate::experiment::scrape::StateSeconds;

/// Time for a watcher to account for what a thread of its server has just done. Meanwhile the thread is idle.
const WATCHER_LAG: Duration = Duration::from_millis(300);

/// Returns the time between the last response and the scrape after it.
pub(super) fn lag(server: LabServer) -> Duration {
    if server.is_original() {
        WATCHER_LAG
    } else {
        Duration::ZERO
    }
}

/// Results of the two requests.
#[derive(Debug)]
pub(super) struct Pair {
    /// Threads of the server.
    pub(super) threads: usize,
    /// Limit of threads of its blocking pool, if it is known.
    pub(super) pool: Option<usize>,
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
    server: LabServer,
    path: &str,
    pause: Duration,
) -> Result<Pair, Error> {
    let before = lab.scrape().await?;
    let start = Instant::now();
    let (long, dummy) = future::join(
        lab.get_through_front(server, path, start),
        lab.get_through_front(server, "/dummy", start + pause),
    )
    .await;
    sleep(lag(server)).await;
    let after = lab.scrape().await?;
    Ok(Pair {
        threads: after.threads(server),
        pool: Some(after.pool(server)).filter(|pool| *pool > 0),
        long,
        dummy,
        spent: after.states(server).since(&before.states(server)),
    })
}
