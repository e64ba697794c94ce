//! Where to listen, as a person writes it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::anyhow;

/// An address, and how a person sets it, for an error that says what to do.
#[derive(Debug, Clone)]
pub struct Address {
    /// `HOST:PORT`, where HOST is an IP address or a name. Of a name's addresses, the first that
    /// is this machine's is taken: so replicas that share a name can each listen on their own.
    pub text: String,
    /// The flag that sets it.
    pub flag: &'static str,
    /// The environment variable that sets it.
    pub variable: &'static str,
}

impl Address {
    /// Listens on it by `bind`.
    ///
    /// # Errors
    ///
    /// When the name has no address, none of them is this machine's, or the port is taken; for a
    /// person, with what to do.
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
            anyhow!(
                "cannot listen on {text}: {error}; choose another address with {flag} or {variable}"
            )
        })
    }

    fn try_listen<T>(&self, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
        let mut last = io::Error::other("this name has no address");
        for address in self.text.to_socket_addrs()? {
            match bind(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => last = error,
                bound => return bound,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn address(text: &str) -> Address {
        Address {
            text: text.to_owned(),
            flag: "--listen",
            variable: "THREADLAB_LISTEN",
        }
    }

    #[test]
    fn a_name_is_as_good_as_an_address() {
        for text in ["localhost:0", "127.0.0.1:0"] {
            let listener = address(text).listen(TcpListener::bind).unwrap();
            assert!(listener.local_addr().unwrap().ip().is_loopback());
        }
    }

    #[test]
    fn an_address_of_another_machine_is_passed_over() {
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
