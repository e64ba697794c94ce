//! How many servers share a name: replicas, of which a viewer sees one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::lookup_host;

/// How long a count is good for.
const FRESH: Duration = Duration::from_secs(2);

/// The replicas that share a name, counted now and then.
#[derive(Debug)]
pub(super) struct Replicas {
    /// `HOST:PORT`; `None` where a server has no name to share.
    name: Option<Arc<str>>,
    counted: Option<(Instant, Option<usize>)>,
}

impl Replicas {
    pub(super) fn sharing(name: Option<Arc<str>>) -> Self {
        Self {
            name,
            counted: None,
        }
    }

    /// How many there are; `None` if that is not known.
    pub(super) async fn count(&mut self) -> Option<usize> {
        let name = self.name.as_ref()?;
        match self.counted {
            Some((at, count)) if at.elapsed() < FRESH => count,
            _ => {
                let count = addresses(name).await;
                self.counted = Some((Instant::now(), count));
                count
            }
        }
    }
}

/// How many addresses a name has: one a replica. A host may have an IPv4 and an IPv6 address, so only
/// those of one kind count. `None` if the name cannot be looked up.
async fn addresses(name: &str) -> Option<usize> {
    let (v4, v6): (Vec<_>, Vec<_>) = lookup_host(name)
        .await
        .ok()?
        .partition(|address| address.is_ipv4());
    Some(v4.len().max(v6.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_is_one_however_it_is_called() {
        for name in ["127.0.0.1:80", "[::1]:80", "localhost:80"] {
            let mut replicas = Replicas::sharing(Some(name.into()));
            assert_eq!(replicas.count().await, Some(1), "{name}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_looked_up_is_not_known() {
        for name in [None, Some("a name without a port".into())] {
            assert_eq!(Replicas::sharing(name).count().await, None);
        }
    }
}
