//! An address for a server that must be told its port, or that gives its port up for a while.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Returns an address on which nothing listens.
///
/// Its IP address belongs to this process alone: on Linux all of 127.0.0.0/8 is the loopback interface, and the lower
/// bytes are the process ID (below 2^22). So no other test, and no outgoing connection, takes the port before the
/// server has it.
pub(crate) fn free_address() -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 + a, b, c);
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}
