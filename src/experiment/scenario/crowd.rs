//! Requests that are in flight while something else is measured.

use futures_util::future::{self, Either};
use futures_util::{Stream, StreamExt};

use crate::experiment::attempt::Attempt;

/// Polls the requests of `crowd` while `work` runs. Their results are ignored: callers judge the number of requests in
/// flight, from which one that ends early is missing.
pub(super) async fn beside<T>(
    crowd: &mut (impl Stream<Item = Attempt> + Unpin),
    work: impl Future<Output = T> + Unpin,
) -> T {
    let waiting = crowd.for_each(|_| future::ready(()));
    match future::select(work, waiting).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}
