//! TCP sockets of this network namespace: `sock_diag` over netlink (`sock_diag(7)`).

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt,
};

use super::proc_files::Inode;
use thread_states::{Nanos, Timestamp};

/// A TCP socket at the moment when the kernel reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpSocket {
    /// When the kernel reported it.
    pub at: Timestamp,
    /// Its own address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Unique among the sockets of this machine since it booted.
    pub cookie: u64,
    /// 0 until a thread has accepted the connection.
    pub inode: Inode,
    /// Bytes received that the program has not read. Of a listening socket: connections to accept.
    pub receive_queue: u32,
    /// Of a listening socket: the most connections to accept. Else bytes not acknowledged by the peer.
    pub send_queue: u32,
    /// State of the socket.
    pub kind: SocketKind,
}

/// State of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketKind {
    /// Listens for connections.
    Listens,
    /// Is one end of a connection.
    Connected(Traffic),
}

/// Traffic of a connection: part of `struct tcp_info`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Time since data was last sent, in steps of one kernel tick, as all ages.
    pub since_sent: Nanos,
    /// Time since data was last received.
    pub since_received: Nanos,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent, with retransmissions.
    pub sent: u64,
    /// Segments sent, with those that only acknowledge.
    pub segments_out: u32,
    /// Segments received that carried data.
    pub data_segments_in: u32,
    /// Segments sent that carried data.
    pub data_segments_out: u32,
}

/// Sockets to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query<'a> {
    /// Listening sockets: about 20 µs.
    Listeners,
    /// Listening sockets and connections with these local ports; with any port, if there are more than
    /// [`MOST_PORTS`]. The kernel walks the connections of the whole host, those in TIME_WAIT and in other namespaces
    /// too: 0.3 ms, and 5 to 15 ms with 50,000 of them. It describes only those that are wanted, which takes 1 µs each.
    Ports(&'a [u16]),
}

/// The most ports by which the kernel selects connections: it tries them one after another.
const MOST_PORTS: usize = 64;

/// Why the kernel's sockets could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiagError {
    /// The system call failed.
    #[error("sock_diag: {0}")]
    Io(#[from] io::Error),
    /// The kernel refused the query.
    #[error("sock_diag: the kernel refused the query: {0}")]
    Refused(io::Error),
    /// A message ends before its contents do.
    #[error("sock_diag: a message is cut off")]
    CutOff,
}

/// A netlink socket for queries.
#[derive(Debug)]
pub(super) struct Diag {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// Room for one answer of the kernel, which sends at most 32 KiB at once to a reader with room for it.
const BUFFER: usize = 1 << 16;

impl Diag {
    /// Opens the socket. No permission is necessary.
    ///
    /// # Errors
    ///
    /// When the kernel has no `sock_diag`, or a filter of system calls forbids netlink.
    pub(super) fn open() -> Result<Self, DiagError> {
        let socket = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )
        .map_err(io::Error::from)?;
        // The kernel waits for a slow reader of a dump, so this only spares system calls.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, 1 << 20);
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER],
        })
    }

    /// Returns the sockets of this network namespace, each once.
    ///
    /// The kernel sends a dump in parts, and continues each at the position in a hash chain at which the last one ended
    /// (`inet_diag_dump_icsk` in `net/ipv4/inet_diag.c`). If a socket was added to the chain meanwhile, it reports one a
    /// second time, without `NLM_F_DUMP_INTR`.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer, or not as `sock_diag(7)` says.
    pub(super) fn query(&mut self, query: Query<'_>) -> Result<Vec<TcpSocket>, DiagError> {
        net::send(&self.socket, &request(query), SendFlags::empty()).map_err(io::Error::from)?;
        let mut sockets = Vec::new();
        loop {
            let (length, _) = net::recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())
                .map_err(io::Error::from)?;
            if parse(
                &self.buffer[..length.min(BUFFER)],
                Timestamp::now(),
                &mut sockets,
            )? {
                let mut seen = HashSet::with_capacity(sockets.len());
                sockets.retain(|socket| seen.insert(socket.cookie));
                return Ok(sockets);
            }
        }
    }
}

// linux/netlink.h, linux/inet_diag.h, net/tcp_states.h
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// The first version of the query: one walk reports both address families, the second version needs two.
const TCPDIAG_GETSOCK: u16 = 18;
const REQUEST_LENGTH: usize = 60;
const INET_DIAG_INFO: u16 = 2;
const MESSAGE_LENGTH: usize = 72;
const ESTABLISHED: u8 = 1;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const LISTEN: u8 = 10;

/// A query: `struct nlmsghdr` and `struct inet_diag_req`, with a filter of ports as an attribute.
fn request(query: Query<'_>) -> Vec<u8> {
    let states: &[u8] = match query {
        // Connections to no port at all need no walk over all connections.
        Query::Listeners | Query::Ports([]) => &[LISTEN],
        Query::Ports(_) => &[
            LISTEN,
            ESTABLISHED,
            FIN_WAIT1,
            FIN_WAIT2,
            CLOSE_WAIT,
            LAST_ACK,
        ],
    };
    let states = states
        .iter()
        .fold(0_u32, |states, state| states | 1 << state);
    let filter = match query {
        Query::Ports(ports) if ports.len() <= MOST_PORTS => filter(ports),
        _ => Vec::new(),
    };
    let length = HEADER + REQUEST_LENGTH + filter.len();
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(TCPDIAG_GETSOCK.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend([0; 8]);
    // Family and prefixes are not looked at in a dump; then the extensions wanted, as a bit set.
    message.extend([0, 0, 0, 1 << (INET_DIAG_INFO - 1)]);
    message.extend([0; 48]);
    message.extend(states.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(filter);
    message
}

/// A program for the kernel that accepts sockets with one of these local ports, as the attribute
/// `INET_DIAG_REQ_BYTECODE`: `struct inet_diag_bc_op`, each a code, the distance to the next one if its condition holds,
/// and the distance if it does not. A jump to the end of the program accepts the socket, one to 4 bytes beyond it
/// rejects it.
fn filter(ports: &[u16]) -> Vec<u8> {
    const REQ_BYTECODE: u16 = 1;
    const JUMP: u8 = 1;
    const AT_LEAST: u8 = 2;
    const AT_MOST: u8 = 3;
    const OPERATION: u16 = 4;
    /// Two comparisons, each followed by its port, and the jump to the end.
    const PER_PORT: u16 = 5 * OPERATION;
    if ports.is_empty() {
        // No socket has this one.
        return filter(&[0]);
    }
    let mut program = Vec::new();
    let mut add = |code: u8, if_true: u16, if_false: u16| {
        program.extend([code, if_true as u8]);
        program.extend(if_false.to_ne_bytes());
    };
    // `ports` are at most 64, so that no distance is beyond 16 bits.
    for (left, port) in (0..ports.len() as u16).rev().zip(ports) {
        let to_next = if left > 0 {
            PER_PORT
        } else {
            PER_PORT + OPERATION
        };
        add(AT_LEAST, 2 * OPERATION, to_next);
        add(0, 0, *port);
        add(AT_MOST, 2 * OPERATION, to_next - 2 * OPERATION);
        add(0, 0, *port);
        add(JUMP, OPERATION, OPERATION + left * PER_PORT);
    }
    let mut attribute = Vec::with_capacity(program.len() + 4);
    attribute.extend((program.len() as u16 + 4).to_ne_bytes());
    attribute.extend(REQ_BYTECODE.to_ne_bytes());
    attribute.extend(program);
    attribute
}

/// Adds the sockets in one answer of the kernel. Returns true at the end of a dump.
pub(super) fn parse(
    mut bytes: &[u8],
    at: Timestamp,
    sockets: &mut Vec<TcpSocket>,
) -> Result<bool, DiagError> {
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0).ok_or(DiagError::CutOff)? as usize;
        let kind = u16_at(bytes, 4).ok_or(DiagError::CutOff)?;
        let body = bytes.get(HEADER..length).ok_or(DiagError::CutOff)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = u32_at(body, 0).ok_or(DiagError::CutOff)?.cast_signed();
                let error = io::Error::from_raw_os_error(code.saturating_neg());
                return Err(DiagError::Refused(error));
            }
            _ => sockets.extend(socket(body, at)),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// A `struct inet_diag_msg` with its attributes; `None` for a connection without traffic counters.
fn socket(body: &[u8], at: Timestamp) -> Option<TcpSocket> {
    let attributes = body.get(MESSAGE_LENGTH..)?;
    let kind = match body[1] {
        LISTEN => SocketKind::Listens,
        _ => SocketKind::Connected(traffic(attribute(attributes, INET_DIAG_INFO)?)?),
    };
    Some(TcpSocket {
        at,
        local: address(body, 4, 8)?,
        remote: address(body, 6, 24)?,
        cookie: u64_at(body, 44)?,
        receive_queue: u32_at(body, 56)?,
        send_queue: u32_at(body, 60)?,
        inode: u32_at(body, 68)?.into(),
        kind,
    })
}

/// The address in network byte order, with the port at one offset and the host at another.
fn address(body: &[u8], port: usize, host: usize) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(*body.get(port..)?.first_chunk()?);
    let host: [u8; 16] = *body.get(host..)?.first_chunk()?;
    let is_v4 = i32::from(body[0]) == libc::AF_INET;
    let v4 = *host.first_chunk::<4>()?;
    let host = if is_v4 {
        IpAddr::V4(Ipv4Addr::from(v4))
    } else {
        IpAddr::V6(Ipv6Addr::from(host)).to_canonical()
    };
    Some((host, port).into())
}

/// The attribute of this type in a list of `struct nlattr`.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let kind = u16_at(attributes, 2)?;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// The part of `struct tcp_info` that is used; `None` before Linux 4.19, which has no `bytes_sent`.
fn traffic(info: &[u8]) -> Option<Traffic> {
    let milliseconds = |offset| Some(Nanos::from_millis(u32_at(info, offset)?.into()));
    Some(Traffic {
        since_sent: milliseconds(44)?,
        since_received: milliseconds(52)?,
        received: u64_at(info, 128)?,
        segments_out: u32_at(info, 136)?,
        data_segments_in: u32_at(info, 152)?,
        data_segments_out: u32_at(info, 156)?,
        sent: u64_at(info, 200)?,
    })
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixDatagram;

    use proptest::prelude::*;

    use super::*;

    /// The sockets of this process's network namespace with this local address.
    fn with_address(address: SocketAddr) -> Vec<TcpSocket> {
        let ports = [address.port()];
        let mut sockets = Diag::open().unwrap().query(Query::Ports(&ports)).unwrap();
        sockets.retain(|socket| socket.local == address);
        sockets
    }

    #[test]
    fn only_sockets_with_the_wanted_ports_are_reported() {
        // An address that no other process uses, with any of its ports.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 64 + a, b, c);
        let listeners: Vec<_> = (0..40)
            .map(|_| TcpListener::bind((ip, 0)).unwrap())
            .collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        for wanted in [0, 1, 2, 3, 39, 40] {
            let sockets = Diag::open().unwrap().query(Query::Ports(&ports[..wanted]));
            let sockets = sockets.unwrap().into_iter();
            let own = sockets.filter(|socket| socket.local.ip() == ip);
            let mut found: Vec<u16> = own.map(|socket| socket.local.port()).collect();
            found.sort_unstable();
            let mut expected = ports[..wanted].to_vec();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
        // Too many to select by.
        let many: Vec<u16> = (1..=65).collect();
        let all = Diag::open().unwrap().query(Query::Ports(&many)).unwrap();
        let found: Vec<u16> = all.iter().map(|socket| socket.local.port()).collect();
        assert!(ports.iter().all(|port| found.contains(port)));
    }

    #[test]
    fn a_connection_is_reported_with_its_traffic() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"request").unwrap();

            let queued = with_address(address);
            let connection = queued
                .iter()
                .find(|s| s.kind != SocketKind::Listens)
                .unwrap();
            assert_eq!((connection.inode, connection.receive_queue), (0, 7));
            let listening = queued
                .iter()
                .find(|s| s.kind == SocketKind::Listens)
                .unwrap();
            assert_eq!((listening.receive_queue, listening.local), (1, address));

            let (mut accepted, _) = listener.accept().unwrap();
            accepted.read_exact(&mut [0; 7]).unwrap();
            accepted.write_all(b"response").unwrap();
            let served = with_address(address);
            let connection = served
                .iter()
                .find(|s| s.kind != SocketKind::Listens)
                .unwrap();
            let SocketKind::Connected(traffic) = connection.kind else {
                panic!("a connection")
            };
            assert_eq!((traffic.received, traffic.sent), (7, 8));
            assert_eq!(connection.remote, client.local_addr().unwrap());
            assert!(connection.inode > 0 && connection.receive_queue == 0);
        }
    }

    /// A message of the kernel about a listening socket.
    fn message(cookie: u64, port: u16) -> Vec<u8> {
        const LENGTH: usize = HEADER + MESSAGE_LENGTH;
        let mut message = [0; LENGTH];
        message[..4].copy_from_slice(&(LENGTH as u32).to_ne_bytes());
        message[4..6].copy_from_slice(&20_u16.to_ne_bytes());
        message[HEADER] = libc::AF_INET as u8;
        message[HEADER + 1] = LISTEN;
        message[HEADER + 4..HEADER + 6].copy_from_slice(&port.to_be_bytes());
        message[HEADER + 44..HEADER + 52].copy_from_slice(&cookie.to_ne_bytes());
        message.to_vec()
    }

    #[test]
    fn a_socket_that_two_parts_of_a_dump_repeat_is_reported_once() {
        let (socket, kernel) = UnixDatagram::pair().unwrap();
        let done = [
            &16_u32.to_ne_bytes()[..],
            &NLMSG_DONE.to_ne_bytes(),
            &[0; 10],
        ]
        .concat();
        // Two sockets may share a port.
        let parts = [
            [message(1, 80), message(2, 81)].concat(),
            [message(2, 81), message(3, 81)].concat(),
            done,
        ];
        for part in parts {
            kernel.send(&part).unwrap();
        }
        let mut diag = Diag {
            socket: socket.into(),
            buffer: vec![0; BUFFER],
        };
        let sockets = diag.query(Query::Listeners).unwrap();
        let found: Vec<_> = sockets
            .iter()
            .map(|socket| (socket.cookie, socket.local.port()))
            .collect();
        assert_eq!(found, [(1, 80), (2, 81), (3, 81)]);
    }

    #[test]
    fn an_error_of_the_kernel_is_returned() {
        let message = [
            &20_u32.to_ne_bytes()[..],
            &2_u16.to_ne_bytes(),
            &[0; 10],
            &(-13_i32).to_ne_bytes(),
        ];
        let result = parse(&message.concat(), Timestamp::default(), &mut Vec::new());
        assert!(
            matches!(result, Err(DiagError::Refused(error)) if error.raw_os_error() == Some(13))
        );
    }

    #[test]
    fn a_message_that_is_cut_off_is_an_error() {
        let message = [&100_u32.to_ne_bytes()[..], &20_u16.to_ne_bytes(), &[0; 60]].concat();
        for length in 1..message.len() {
            let result = parse(&message[..length], Timestamp::default(), &mut Vec::new());
            assert!(matches!(result, Err(DiagError::CutOff)), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_parser_panic_or_hang(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            length in 16_u32..600,
        ) {
            let _ = parse(&bytes, Timestamp::default(), &mut Vec::new());
            let header = [&length.to_ne_bytes()[..], &20_u16.to_ne_bytes(), &[0; 10], &bytes].concat();
            let _ = parse(&header, Timestamp::default(), &mut Vec::new());
        }
    }
}
