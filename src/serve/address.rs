//! Addresses from the command line, and how this machine reaches them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use anyhow::anyhow;

use super::subnet::SubnetAndPort;

/// An address with the flag and the variable that set it, which error messages name.
#[derive(Debug, Clone)]
pub struct Address {
    /// `HOST:PORT`, where HOST is an IP address, a name or a subnet. A name or a subnet stands for the
    /// first of its addresses that belongs to this machine, so that replicas can share it; IPv4
    /// before IPv6.
    pub text: String,
    /// Flag that sets the address.
    pub flag: &'static str,
    /// Environment variable that sets the address.
    pub variable: &'static str,
}

impl Address {
    /// Creates an address from a text together with the flag and the variable that set it.
    #[must_use]
    pub fn new(text: String, flag: &'static str, variable: &'static str) -> Self {
        Self {
            text,
            flag,
            variable,
        }
    }

    /// Listens on the address by calling `bind`.
    ///
    /// # Errors
    ///
    /// When the name has no address, none of the addresses belongs to this machine, or the port is
    /// taken. The message names the flag and the variable.
    pub(super) fn listen<T>(
        &self,
        bind: impl Fn(SocketAddr) -> io::Result<T>,
    ) -> anyhow::Result<T> {
        let Self {
            text,
            flag,
            variable,
        } = self;
        self.try_listen(bind).map_err(|error| {
            // Any command may find it taken, but only a lab has `--ports`.
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "; is another threadlab running? `threadlab --ports 1000` changes all ports of a second lab"
                }
                _ => "",
            };
            anyhow!(
                "cannot listen on {text}: {error}; choose another address with {flag} or {variable}{hint}"
            )
        })
    }

    fn try_listen<T>(&self, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
        let mut last = io::Error::other("the name has no address");
        for address in in_order(self.candidates()?) {
            match bind(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => last = error,
                bound => return bound,
            }
        }
        Err(last)
    }

    fn candidates(&self) -> io::Result<Vec<SocketAddr>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        match SubnetAndPort::parse(&self.text).map_err(invalid)? {
            Some(subnet) => subnet.addresses(),
            None => Ok(self.text.to_socket_addrs()?.collect()),
        }
    }
}

/// Sorts the addresses of a name: IPv4 first, otherwise as the resolver returned them.
///
/// Resolvers put IPv6 first (RFC 6724), but in a network that has both, a front may look for IPv4
/// addresses only, as nginx does in the Compose stack.
fn in_order(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses
}

/// Returns the address at which this machine reaches a server of its own: a server that listens on
/// all addresses is reached over loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn address(text: &str) -> Address {
        Address::new(text.to_owned(), "--listen", "THREADLAB_LISTEN")
    }

    #[test]
    fn names_addresses_and_subnets_can_be_listened_on() {
        for text in ["localhost:0", "127.0.0.1:0", "127.0.0.0/8:0"] {
            let listener = address(text).listen(TcpListener::bind).unwrap();
            assert!(listener.local_addr().unwrap().ip().is_loopback());
        }
    }

    #[test]
    fn ipv4_addresses_come_first() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let resolved = ["[fd00::2]:80", "[fd00::1]:80", "10.0.0.2:80", "10.0.0.1:80"].map(parse);
        let expected = ["10.0.0.2:80", "10.0.0.1:80", "[fd00::2]:80", "[fd00::1]:80"].map(parse);
        assert_eq!(in_order(resolved.to_vec()), expected);
    }

    #[test]
    fn a_subnet_of_another_network_is_an_error() {
        let listen = |text| {
            address(text)
                .listen(TcpListener::bind)
                .unwrap_err()
                .to_string()
        };
        // RFC 5737 reserves it for documentation, so no machine has an address there.
        let error = listen("203.0.113.0/24:8000");
        for words in [
            "cannot listen on 203.0.113.0/24:8000",
            "no address in 203.0.113.0/24",
            "127.0.0.1",
            "--listen",
        ] {
            assert!(error.contains(words), "{error}");
        }
        let error = listen("203.0.113.0/99:8000");
        assert!(error.contains("expected SUBNET:PORT"), "{error}");
    }

    #[test]
    fn a_taken_port_asks_for_another_lab() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let text = taken.local_addr().unwrap().to_string();
        let error = address(&text).listen(TcpListener::bind).unwrap_err();
        let error = error.to_string();
        for words in ["is another threadlab running?", "--ports", "--listen"] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn addresses_of_other_machines_are_skipped() {
        let bind = |address: SocketAddr| match address.ip().is_loopback() {
            true => Err(io::ErrorKind::AddrNotAvailable.into()),
            false => Ok(address),
        };
        let error = address("localhost:1").listen(bind).unwrap_err().to_string();
        assert!(
            error.contains("localhost:1") && error.contains("--listen"),
            "{error}"
        );
    }
}
