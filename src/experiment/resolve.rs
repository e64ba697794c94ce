//! Resolution of a lab's addresses.

use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;

use super::error::Error;

/// Resolves `HOST:PORT` to at least one address. `part` and `flag` name it in the error.
///
/// IPv6 addresses are returned only if there is no IPv4 address: `localhost` resolves to both, and
/// the lab listens on one.
pub(super) async fn resolve(
    part: &'static str,
    flag: &'static str,
    address: &str,
) -> Result<Vec<SocketAddr>, Error> {
    let failed = |source| Error::Resolve {
        part,
        flag,
        address: address.to_owned(),
        source,
    };
    let addresses = lookup_host(address).await.map_err(failed)?;
    let (mut chosen, others): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv4);
    if chosen.is_empty() {
        chosen = others;
    }
    if chosen.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(chosen)
}
