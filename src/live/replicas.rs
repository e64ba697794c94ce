//! Number of servers that share a name: replicas, of which a viewer sees one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::lookup_host;

/// Time for which a count is used.
const MAX_AGE: Duration = Duration::from_secs(2);

/// The replicas that share a name, counted every two seconds at most.
#[derive(Debug)]
pub(super) struct Replicas {
    /// `HOST:PORT`; `None` if the server has no name to share.
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

    /// Returns their number; `None` if it is not known.
    pub(super) async fn count(&mut self) -> Option<usize> {
        let name = self.name.as_ref()?;
        match self.counted {
            Some((at, count)) if at.elapsed() < MAX_AGE => count,
            _ => {
                let count = addresses(name).await;
                self.counted = Some((Instant::now(), count));
                count
            }
        }
    }
}

/// Returns the number of addresses of a name, one for each replica; `None` if the lookup failed. A host
/// may have both an IPv4 and an IPv6 address, so only one kind counts.
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
    async fn one_machine_is_one_replica_under_any_of_its_names() {
        for name in ["127.0.0.1:80", "[::1]:80", "localhost:80"] {
            let mut replicas = Replicas::sharing(Some(name.into()));
            assert_eq!(replicas.count().await, Some(1), "{name}");
        }
    }

    #[tokio::test]
    async fn without_a_lookup_the_number_is_not_known() {
        for name in [None, Some("a name without a port".into())] {
            assert_eq!(Replicas::sharing(name).count().await, None);
        }
    }
}
