//! Linux's `TCP_INFO` of a socket (tcp(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// State of a listening socket in Linux's `include/net/tcp_states.h`.
pub(super) const LISTEN: u8 = 10;

/// States of a connection whose peer has sent its FIN (`TCP_CLOSE_WAIT`), and of one that was reset or
/// has ended (`TCP_CLOSE`).
const CLOSE_WAIT: u8 = 8;
const CLOSE: u8 = 7;

/// Time since a request arrived after which its client no longer counts as just having sent it, in
/// milliseconds.
const WAITED: u32 = 100;

/// Returns whether the client of a connection closed it, or its sending side, and its request has
/// waited for at least 100 ms.
///
/// TCP has one message for both, so that a client which only closes its sending side cannot be told from
/// one that has left. Some send their request and do so at once (`nc -N`), and get their response if it
/// is ready at once.
pub(super) fn is_abandoned(connection: impl AsFd) -> bool {
    // Nearly always the client is there and has sent nothing more, which a look at the receive buffer shows: it finds
    // neither bytes nor an end nor an error. It takes less than half of the time of `tcp_info`.
    let peeked = recv(&connection, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    if peeked == Err(Errno::AGAIN) {
        return false;
    }
    tcp_info(connection).is_ok_and(|info| match info.tcpi_state {
        CLOSE => true,
        // The FIN itself does not count as data.
        CLOSE_WAIT => info.tcpi_last_data_recv >= WAITED,
        _ => false,
    })
}

/// Returns the information about a socket.
#[allow(unsafe_code)]
pub(super) fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
    // SAFETY: `tcp_info` consists of integers, for which zeros are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` is borrowed, and the kernel writes at most `length`
    // bytes, which is the size of `info`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
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
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_millis(150);

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"request").unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_client_has_left_when_it_closed_and_its_request_has_waited() {
        let (client, server) = connection();
        sleep(LONG);
        assert!(!is_abandoned(&server), "the client is there");
        client.shutdown(Shutdown::Write).unwrap();
        assert!(is_abandoned(&server), "the sending side is closed");
        drop(client);
        assert!(is_abandoned(&server));
    }

    #[test]
    fn a_client_that_closed_at_once_gets_a_chance() {
        // The thread may lose its CPU in between.
        let is_served = || {
            let (client, server) = connection();
            drop(client);
            !is_abandoned(&server)
        };
        assert!((0..20).any(|_| is_served()));
    }

    #[test]
    fn a_reset_connection_is_abandoned_at_once() {
        let (client, mut server) = connection();
        // The client closes with a byte unread.
        server.write_all(b"x").unwrap();
        sleep(LONG);
        let (again, server_again) = (client, server);
        drop(again);
        assert!(is_abandoned(&server_again));
    }
}
