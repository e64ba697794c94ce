//! Listening sockets and their accept queues.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::config::GatewayConfig;
#[cfg(target_os = "linux")]
use super::tcp_info;
use crate::metrics::AcceptQueue;
use crate::wire::BindError;

/// Listening sockets of a gateway whose threads have not started yet.
#[derive(Debug)]
pub struct BoundGateway {
    pub(super) config: GatewayConfig,
    pub(super) listeners: Vec<TcpListener>,
    address: SocketAddr,
}

impl BoundGateway {
    /// Address that the sockets listen on. Port 0 in the configuration is replaced by the port that
    /// the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Binds this many sockets to one address. The kernel distributes the connections over them
/// (`SO_REUSEPORT`, socket(7)).
pub(super) fn bind(config: &GatewayConfig, sockets: usize) -> Result<BoundGateway, BindError> {
    let config = GatewayConfig {
        limits: config.limits.bounded(),
        ..config.clone()
    };
    listen(&config, sockets).map_err(|source| BindError {
        address: config.listen,
        source,
    })
}

fn listen(config: &GatewayConfig, sockets: usize) -> io::Result<BoundGateway> {
    // This socket does not share its port, so that binding fails if another process listens on the
    // port, even if that process would share it. It never listens if there are several.
    let first = open(config.listen, false)?;
    let address = first
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let opened = if sockets == 1 {
        vec![first]
    } else {
        (0..sockets)
            .map(|_| open(address, true))
            .collect::<io::Result<_>>()?
    };
    for socket in &opened {
        socket.listen(i32::from(config.backlog))?;
    }
    Ok(BoundGateway {
        config: config.clone(),
        listeners: opened.into_iter().map(TcpListener::from).collect(),
        address,
    })
}

/// Returns a bound socket that does not listen yet. On Linux, accepted connections inherit its
/// options, which saves a system call for each connection and option.
fn open(address: SocketAddr, share_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A server can be restarted while connections of the previous one are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Stops listening. Unlike closing the descriptor, this also wakes threads that are blocked in
/// `accept`, and it reaches duplicates of the socket.
pub(super) fn close(listener: &TcpListener) {
    if let Err(error) = SockRef::from(listener).shutdown(std::net::Shutdown::Both) {
        tracing::debug!(%error, "cannot shut down a listening socket");
    }
}

/// Returns the accept queue of a listening socket; 0 of 0 if it no longer listens.
#[cfg(target_os = "linux")]
pub(super) fn accept_queue(listener: &TcpListener) -> io::Result<AcceptQueue> {
    let info = tcp_info::tcp_info(listener)?;
    // For a listening socket Linux stores the queue in these two fields (`tcp_get_info` in
    // `net/ipv4/tcp.c`).
    Ok(match info.tcpi_state {
        tcp_info::LISTEN => AcceptQueue {
            length: info.tcpi_unacked.into(),
            limit: info.tcpi_sacked.into(),
        },
        _ => AcceptQueue::default(),
    })
}

/// Returns an error: only Linux provides the queue.
#[cfg(not(target_os = "linux"))]
pub(super) fn accept_queue(_: &TcpListener) -> io::Result<AcceptQueue> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let bound = bind(&GatewayConfig::new(([127, 0, 0, 1], 0).into()), 1).unwrap();
        let _client = TcpStream::connect(bound.local_addr()).unwrap();
        let (accepted, _) = bound.listeners[0].accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn the_error_names_the_address() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(&GatewayConfig::new(address), 1).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
