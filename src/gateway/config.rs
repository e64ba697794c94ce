//! Address, threads and limits of a gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use hyper::server::conn::http1;

const POOL_THREADS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(14_000).unwrap();

/// Address, number of threads and limits of a gateway.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Address to listen on; port 0 chooses a free port. Default: `127.0.0.1:8000`.
    pub listen: SocketAddr,
    /// Threads that serve requests. Default: 1, as in the article.
    pub threads: NonZeroUsize,
    /// Maximum number of threads that each server thread has for `spawn_blocking`; further calls wait.
    /// Default: 512, as in tokio.
    pub pool_threads: NonZeroUsize,
    /// Connections that the kernel holds for each listening socket until a thread accepts them.
    /// The synchronous gateway has one socket, the asynchronous gateway has one for each thread.
    /// Linux limits it to `net.core.somaxconn` and lets one more connection wait. Default: 1024.
    pub backlog: u16,
    /// Connections that the asynchronous gateway serves at once, over all threads; others wait in the
    /// accept queue. The synchronous gateway serves one for each thread; with `keep_alive` it keeps so many
    /// idle ones besides, and closes the one that has been idle for longest for a further one. Default: 14,000.
    pub connections: NonZeroUsize,
    /// Keeps connections to the synchronous gateway open between two requests, as those to the asynchronous one
    /// always are, without a thread for each: its threads wait for all idle connections and for new ones at once.
    /// Linux only. Default: false, a connection for each request, as in the article.
    pub keep_alive: bool,
    /// Limits for clients.
    pub limits: ClientLimits,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8000).into(),
            threads: NonZeroUsize::MIN,
            pool_threads: POOL_THREADS,
            backlog: 1024,
            connections: CONNECTIONS,
            keep_alive: false,
            limits: ClientLimits::default(),
        }
    }
}

impl GatewayConfig {
    /// The defaults with another address.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            ..Self::default()
        }
    }
}

/// Limits for clients. A duration below 1 ms counts as 1 ms, one above a day as a day.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Size of a request's head in bytes: the request line and the header fields. A larger head gets
    /// a 431 response. Default: 32 KiB.
    pub max_head_bytes: usize,
    /// Time for a client to send the head of a request, from its first byte on, or from `accept` on
    /// for the first head of a connection. The body has the same time again. A slower head gets a 408
    /// response; a slower body ends in an error of the kind
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). Default: 10 s.
    pub read_timeout: Duration,
    /// Time for a client to read data that is ready to be sent, however it spreads its reads, before its connection is
    /// closed. Of a body in several frames, the next ones become ready when less than 64 KiB are left. Default: 30 s.
    pub write_timeout: Duration,
    /// Time for which a connection is kept open between two requests, if it is kept.
    /// Default: 75 s, longer than nginx's 60 s, so that nginx closes first and never sends a request
    /// on a connection that the gateway is closing.
    pub idle_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            max_head_bytes: 32 * 1024,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

impl ClientLimits {
    /// The same limits with durations that can be added to an instant without overflow.
    pub(super) fn bounded(self) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);

        let bounded = |time: Duration| time.clamp(Duration::from_millis(1), DAY);
        Self {
            max_head_bytes: self.max_head_bytes,
            read_timeout: bounded(self.read_timeout),
            write_timeout: bounded(self.write_timeout),
            idle_timeout: bounded(self.idle_timeout),
        }
    }

    /// Number of heads larger than [`SMALL_HEAD`](super::memory::SMALL_HEAD) that the gateway holds at
    /// once: as many as fit in 32 MiB.
    pub(super) fn large_heads(&self) -> usize {
        const LARGE_HEAD_BYTES: usize = 32 * 1024 * 1024;

        LARGE_HEAD_BYTES / self.max_head_bytes.max(1)
    }

    /// hyper's HTTP/1 server with these limits.
    pub(super) fn http(&self) -> http1::Builder {
        /// Bytes that hyper buffers of a response that is not sent yet.
        const RESPONSE_BUFFER: usize = 64 * 1024;

        let mut http = http1::Builder::new();
        http.max_header_size(self.max_head_bytes)
            .max_buf_size(self.max_head_bytes.max(RESPONSE_BUFFER));
        http
    }
}
