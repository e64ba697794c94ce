//! Error of a listener that cannot be bound.

use std::io;
use std::net::SocketAddr;

/// Error of a gateway or front that cannot listen on its address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// Address in the configuration.
    pub address: SocketAddr,
    /// Cause; [`io::ErrorKind::AddrInUse`] if the port is taken.
    pub source: io::Error,
}
