//! Many clients of one server, and the memory that they cost it.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::lab::Server;

/// Connections from one local address, which has 28,000 ports.
const PER_ADDRESS: usize = 8_000;

/// Returns a value of `/proc/PID/status` in bytes.
pub fn memory(server: &Server, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// Returns the connection of the client with this index, on which these bytes were sent, as far as the server took them.
pub fn connect(address: SocketAddr, index: usize, request: &[u8]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The port is then chosen by `connect`, which finds a free one by its hash. `bind` compares thousands of sockets for
    // each, which takes three quarters of the time of all clients.
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true).unwrap();
    let local = Ipv4Addr::new(127, 0, 40 + (index / PER_ADDRESS) as u8, 1);
    socket.bind(&SocketAddr::from((local, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(true).unwrap();
    let _ = stream.write(request);
    stream
}

/// Raises the limit on open files as far as it is allowed, above its maximum up to `wanted`, and returns it.
pub fn raise_file_limit(wanted: usize) -> usize {
    let (mut limit, wanted) = (getrlimit(Resource::Nofile), wanted as u64);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        let mut higher = limit;
        (higher.current, higher.maximum) = (Some(wanted), Some(wanted));
        // Only root may.
        if setrlimit(Resource::Nofile, higher).is_ok() {
            return wanted as usize;
        }
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.map_or(usize::MAX, |most| most as usize)
}
