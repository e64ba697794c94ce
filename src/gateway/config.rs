//! What a gateway listens on, and its limits.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use hyper::server::conn::http1;

/// How many threads each thread of a gateway has at most for what the app hands to
/// `spawn_blocking`. What is handed over beyond that waits. tokio's default, said here so that it can
/// be told to others.
pub const POOL_THREADS: usize = 512;

/// What a gateway listens on, with how many threads, and how patient it is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve requests. Default: 1, the article's setting.
    pub threads: NonZeroUsize,
    /// Connections that the kernel holds for each listening socket until a thread accepts them.
    /// The synchronous gateway has one such socket, the asynchronous one for each thread. Linux
    /// caps it at `net.core.somaxconn` and lets one more than this wait. Default: 1024.
    pub backlog: u16,
    /// What a client may send, and how long it may take.
    pub limits: Limits,
}

impl Config {
    /// One thread and the default limits.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            threads: NonZeroUsize::MIN,
            backlog: 1024,
            limits: Limits::default(),
        }
    }
}

/// What a client may send, and how long it may take. Every span of time is taken as at least a
/// millisecond and at most a day.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's head: its first line and its headers. A longer one is answered with
    /// 431. Default: 32 KiB.
    pub max_head_bytes: usize,
    /// How long a gateway waits, in all, for the head of a request: from its first byte, or from
    /// `accept` for the first one of a connection. It waits as long again for the body. A head that
    /// comes slower is answered with 408; a body that does ends in an error of the kind
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). Default: 10 s.
    pub read_timeout: Duration,
    /// How long a client may leave an answer unread before its connection is closed. Default: 30 s.
    pub write_timeout: Duration,
    /// How long an asynchronous gateway keeps a connection open between two requests. Default:
    /// 75 s, more than the 60 s of nginx, so that nginx is the one to close.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head_bytes: 32 * 1024,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

impl Limits {
    /// The same with spans of time that a deadline can be made of.
    pub(super) fn bounded(self) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);

        let bounded = |span: Duration| span.clamp(Duration::from_millis(1), DAY);
        Self {
            max_head_bytes: self.max_head_bytes,
            read_timeout: bounded(self.read_timeout),
            write_timeout: bounded(self.write_timeout),
            idle_timeout: bounded(self.idle_timeout),
        }
    }

    /// hyper's HTTP/1 engine within these limits.
    pub(super) fn engine(&self) -> http1::Builder {
        /// Bytes that hyper buffers of a body, either way.
        const BODY_BUFFER: usize = 64 * 1024;

        let mut engine = http1::Builder::new();
        engine
            .max_header_size(self.max_head_bytes)
            .max_buf_size(self.max_head_bytes.max(BODY_BUFFER));
        engine
    }
}
