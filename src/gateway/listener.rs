//! Listening sockets: bound with a bounded accept queue, and asked how long it is.

use std::io;
use std::iter::Sum;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Config;

/// No socket could be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// Why not; [`io::ErrorKind::AddrInUse`] if the port is taken.
    pub source: io::Error,
}

/// Sockets that listen, for a gateway whose threads have not started yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) config: Config,
    pub(super) listeners: Vec<TcpListener>,
    address: SocketAddr,
}

impl Bound {
    /// The address that it listens on, with the port that port 0 became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Binds this many sockets to the one address; the kernel spreads the connections over them.
pub(super) fn bind(config: &Config, sockets: usize) -> Result<Bound, BindError> {
    let config = Config {
        limits: config.limits.bounded(),
        ..config.clone()
    };
    listen(&config, sockets).map_err(|source| BindError {
        address: config.listen,
        source,
    })
}

fn listen(config: &Config, sockets: usize) -> io::Result<Bound> {
    // This one does not share its port. So a port is refused that somebody else listens on, also if
    // they would share theirs.
    let first = open(config, config.listen, false)?;
    let address = first
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let opened = if sockets == 1 {
        vec![first]
    } else {
        (0..sockets)
            .map(|_| open(config, address, true))
            .collect::<io::Result<_>>()?
    };
    for socket in &opened {
        socket.listen(i32::from(config.backlog))?;
    }
    Ok(Bound {
        config: config.clone(),
        listeners: opened.into_iter().map(TcpListener::from).collect(),
        address,
    })
}

/// A bound socket that does not listen yet. The connections that it will accept inherit its options
/// (on Linux), which saves a system call for each connection and option.
fn open(config: &Config, address: SocketAddr, share_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier server that still linger do not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_write_timeout(Some(config.limits.write_timeout))?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Ends listening, also for threads that are blocked in `accept` and for duplicates of the socket.
pub(super) fn close(listener: &TcpListener) {
    if let Err(error) = SockRef::from(listener).shutdown(std::net::Shutdown::Both) {
        tracing::debug!(%error, "closing a listening socket");
    }
}

/// How long to pause after a failed `accept`. Not at all after one that concerns only the
/// connection that it would have returned; but while e.g. file descriptors are out, asking again at
/// once would only spin.
pub(super) fn pause_after(error: &io::Error) -> Duration {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::Interrupted => Duration::ZERO,
        _ => {
            tracing::warn!(%error, "cannot accept a connection");
            Duration::from_millis(100)
        }
    }
}

/// Connections that the kernel holds until a thread accepts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptQueue {
    /// How many wait.
    pub length: u32,
    /// How many may wait. Linux lets one more than this.
    pub limit: u32,
}

impl AcceptQueue {
    /// The queue of a listening socket; 0 of 0 if it no longer listens.
    #[cfg(target_os = "linux")]
    pub(super) fn of(listener: &TcpListener) -> io::Result<Self> {
        /// The state of a listening socket, in Linux's `include/net/tcp_states.h`.
        const TCP_LISTEN: u8 = 10;
        let info = tcp_info(listener)?;
        // For a listening socket Linux puts its queue into these two (`tcp_get_info`).
        Ok(match info.tcpi_state {
            TCP_LISTEN => Self {
                length: info.tcpi_unacked,
                limit: info.tcpi_sacked,
            },
            _ => Self::default(),
        })
    }

    /// Only Linux tells.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: &TcpListener) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Sum for AcceptQueue {
    fn sum<I: Iterator<Item = Self>>(queues: I) -> Self {
        queues.fold(Self::default(), |sum, queue| Self {
            length: sum.length.saturating_add(queue.length),
            limit: sum.limit.saturating_add(queue.limit),
        })
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn tcp_info(listener: &TcpListener) -> io::Result<libc::tcp_info> {
    use std::os::fd::AsRawFd;
    // SAFETY: `tcp_info` is made of integers only, for which zeroes are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open while `listener` is borrowed, and the kernel writes at most
    // `length` bytes, which is the size of `info`.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(info)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let bound = bind(&Config::new(([127, 0, 0, 1], 0).into()), 1).unwrap();
        let _client = TcpStream::connect(bound.local_addr()).unwrap();
        let (accepted, _) = bound.listeners[0].accept().unwrap();
        assert!(accepted.nodelay().unwrap());
        let timeout = accepted.write_timeout().unwrap();
        assert_eq!(timeout, Some(bound.config.limits.write_timeout));
    }

    #[test]
    fn the_error_names_the_address() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(&Config::new(address), 1).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[test]
    fn only_a_failure_that_lasts_is_paused_for() {
        let aborted = io::ErrorKind::ConnectionAborted.into();
        assert!(pause_after(&aborted).is_zero());
        let out_of_files = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(!pause_after(&out_of_files).is_zero());
    }
}
