//! Subnets in the place of a host, and the addresses of this machine in them.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// A subnet with a port, written `10.1.0.0/24:8000` or `[fd00:1::/64]:8000`: stands for the addresses of
/// this machine in that subnet.
///
/// A server on several networks listens on one of them this way without knowing its address, and
/// without a name, which some orchestrators publish only after the server has become healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubnetAndPort {
    subnet: IpNet,
    port: u16,
}

/// A text with a `/` in its host that is not a subnet with a port.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected SUBNET:PORT, e.g. 10.1.0.0/24:8000 or [fd00:1::/64]:8000")]
pub(crate) struct SubnetError;

impl SubnetAndPort {
    /// Parses a text. Returns `None` if its host is not written as a subnet, but is a name or an address.
    ///
    /// # Errors
    ///
    /// When the host has a `/` and is not a subnet, or the port is not a number from 0 to 65535.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, SubnetError> {
        if !text.contains('/') {
            return Ok(None);
        }
        let (host, port) = text.rsplit_once(':').ok_or(SubnetError)?;
        let bare = host
            .strip_prefix('[')
            .map_or(Some(host), |rest| rest.strip_suffix(']'));
        let subnet = bare.and_then(|subnet| subnet.parse().ok());
        Ok(Some(Self {
            subnet: subnet.ok_or(SubnetError)?,
            port: port.parse().map_err(|_| SubnetError)?,
        }))
    }

    /// Returns the addresses of this machine in the subnet, each with the port.
    ///
    /// # Errors
    ///
    /// When there is none, or the addresses of this machine cannot be read.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let own: Vec<SocketAddr> = getifaddrs()?
            .filter_map(|interface| socket_address(&interface.address?))
            .collect();
        self.of(&own)
    }

    fn of(&self, own: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        let in_subnet = own.iter().filter(|own| self.subnet.contains(&own.ip()));
        let found: Vec<SocketAddr> = in_subnet.map(|own| with_port(*own, self.port)).collect();
        if found.is_empty() {
            let own: Vec<String> = own.iter().map(|own| own.ip().to_string()).collect();
            let message = format!(
                "this machine has no address in {}, only {}",
                self.subnet,
                own.join(", ")
            );
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        Ok(found)
    }
}

/// Converts an address of an interface, which can also be one of the link layer.
fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = |v4: &_| SocketAddr::from(SocketAddrV4::from(*v4));
    let v6 = |v6: &_| SocketAddr::from(SocketAddrV6::from(*v6));
    let ipv4 = address.as_sockaddr_in().map(v4);
    ipv4.or_else(|| address.as_sockaddr_in6().map(v6))
}

/// Replaces the port. A link-local address keeps its interface.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<SubnetAndPort>, SubnetError> {
        SubnetAndPort::parse(text)
    }

    #[test]
    fn names_and_addresses_are_no_subnets() {
        for text in ["sync-web:8000", "10.1.0.1:8000", "[fd00::1]:8000", ""] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn malformed_subnets_are_errors() {
        for text in [
            "10.1.0.0/24",
            "10.1.0.0/33:8000",
            "10.1.0.0/:8000",
            "/24:8000",
            "10.1.0/24:8000",
            "sync-web/24:8000",
            "10.1.0.0/24:",
            "10.1.0.0/24:65536",
            "[fd00::/129]:8000",
            "[fd00::/64:8000",
            "[fd00::]/64:8000",
            "/",
            ":/",
        ] {
            assert_eq!(parse(text), Err(SubnetError), "{text}");
        }
    }

    #[test]
    fn the_addresses_in_the_subnet_are_found() {
        let own = ["127.0.0.1:0", "10.1.0.7:0", "10.2.0.7:0", "[fd00:1::7]:0"];
        let own = own.map(|text| text.parse::<SocketAddr>().unwrap());
        for (subnet, expected) in [
            ("10.1.0.0/24:8000", vec!["10.1.0.7:8000"]),
            ("10.1.0.7/24:8000", vec!["10.1.0.7:8000"]),
            ("10.2.0.7/32:1", vec!["10.2.0.7:1"]),
            ("10.0.0.0/8:1", vec!["10.1.0.7:1", "10.2.0.7:1"]),
            ("[fd00:1::/64]:1", vec!["[fd00:1::7]:1"]),
            ("fd00:1::/64:1", vec!["[fd00:1::7]:1"]),
        ] {
            let found = parse(subnet).unwrap().unwrap().of(&own).unwrap();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{subnet}");
        }
    }

    #[test]
    fn a_subnet_without_an_address_of_this_machine_is_an_error_that_names_those_it_has() {
        let own = ["127.0.0.1:0", "10.2.0.7:0"].map(|text| text.parse::<SocketAddr>().unwrap());
        let error = parse("10.1.0.0/24:8000")
            .unwrap()
            .unwrap()
            .of(&own)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "this machine has no address in 10.1.0.0/24, only 127.0.0.1, 10.2.0.7"
        );
    }

    #[test]
    fn addresses_of_this_machine_are_read() {
        let loopback = parse("127.0.0.0/8:80").unwrap().unwrap();
        let expected: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert!(loopback.addresses().unwrap().contains(&expected));
    }
}
