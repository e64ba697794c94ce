//! Requests that no thread of a server of this process has taken yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thread_states::{Nanos, Timestamp};

use super::budget::cpu_time;
use super::diag::{Diag, Query, TcpSocket};
use super::sockets::{Connections, Requests};
use crate::metrics::RequestQueue;

/// The least time between two walks of the kernel's sockets, and how many times as long as a walk takes.
const SHORTEST: Nanos = Nanos::from_millis(50);
const TIMES_THE_COST: u64 = 50;

/// Sockets of the servers of this process, read as often as 2 % of a CPU allow. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct SocketTable(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// The ports of the servers that share it.
    ports: Vec<u16>,
    diag: Option<Diag>,
    sockets: Arc<[TcpSocket]>,
    read_at: Timestamp,
    fresh_for: Nanos,
}

impl SocketTable {
    /// Also reads the sockets with this port.
    fn add(&self, port: u16) {
        let mut table = lock(&self.0);
        table.ports.push(port);
        table.fresh_for = Nanos::ZERO;
    }

    /// Returns the sockets and when they were read; `None` if the kernel does not report them.
    fn sockets(&self) -> Option<(Arc<[TcpSocket]>, Timestamp)> {
        let mut table = lock(&self.0);
        if table.read_at.elapsed() >= table.fresh_for {
            table.read()?;
        }
        Some((Arc::clone(&table.sockets), table.read_at))
    }
}

impl Table {
    /// Frees the sockets, unless they are so fresh that they may be used again.
    fn forget_stale(&mut self) {
        if self.read_at.elapsed() >= self.fresh_for {
            self.sockets = Arc::default();
        }
    }

    fn diag(&mut self) -> Option<&mut Diag> {
        if self.diag.is_none() {
            self.diag = Diag::open().ok();
        }
        self.diag.as_mut()
    }

    fn read(&mut self) -> Option<()> {
        let before = cpu_time();
        let ports = self.ports.clone();
        let sockets = self.diag()?.query(Query::Ports(&ports));
        // After an error, the rest of an answer may be left in the socket.
        let sockets = sockets.inspect_err(|_| self.diag = None).ok()?;
        self.sockets = sockets.into();
        self.read_at = Timestamp::now();
        let cost = cpu_time().saturating_sub(before).as_nanos();
        self.fresh_for = SHORTEST.max(Nanos::from_nanos(cost * TIMES_THE_COST));
        Some(())
    }
}

/// The queued requests of one server of this process.
#[derive(Debug)]
pub struct OwnQueue {
    table: SocketTable,
    port: u16,
    last: Mutex<LastLook>,
}

#[derive(Debug, Default)]
struct LastLook {
    at: Timestamp,
    connections: Connections,
    found: Requests,
}

impl OwnQueue {
    /// The queue of the server that listens on this port.
    #[must_use]
    pub fn new(table: SocketTable, port: u16) -> Self {
        table.add(port);
        Self {
            table,
            port,
            last: Mutex::default(),
        }
    }

    /// Returns whether the kernel reports its sockets, as far as is known without asking for them.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        lock(&self.table.0).diag().is_some()
    }

    /// Frees what is known of each connection. To be called while no request can wait: after 10,000 connections it is
    /// several MiB.
    pub fn forget(&self) {
        *lock(&self.last) = LastLook::default();
        lock(&self.table.0).forget_stale();
    }

    /// Returns the queued requests; `None` if the kernel does not report them.
    pub fn read(&self) -> Option<RequestQueue> {
        let (sockets, at) = self.table.sockets()?;
        let last = &mut *lock(&self.last);
        if last.at < at {
            let own = sockets
                .iter()
                .filter(|socket| socket.local.port() == self.port);
            // A connection that is gone has no request that waits.
            last.found = last.connections.look(own, at, last.at, |_| None);
            // Only their numbers are used.
            last.found.requests = Vec::new();
            last.at = at;
        }
        let found = &last.found;
        let is_empty = found.in_accept_queue + found.unread == 0;
        let oldest = if is_empty {
            Nanos::ZERO
        } else {
            // It has waited since the look, too.
            found.oldest_queued + at.elapsed()
        };
        Some(RequestQueue {
            accept: found.in_accept_queue,
            socket: found.unread,
            oldest_seconds: oldest.as_secs_f64(),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left half done is read again.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Waits until the queue has so many requests in the two places.
    fn wait_for(queue: &OwnQueue, accept: u64, socket: u64) -> RequestQueue {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let found = queue.read().unwrap();
            if (found.accept, found.socket) == (accept, socket) {
                return found;
            }
            assert!(Instant::now() < deadline, "{found:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn nothing_is_kept_while_no_request_can_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let queue = OwnQueue::new(SocketTable::default(), address.port());
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"request").unwrap();
        wait_for(&queue, 1, 0);
        assert!(!lock(&queue.table.0).sockets.is_empty());
        let fresh_for = lock(&queue.table.0).fresh_for;
        thread::sleep(Duration::from_nanos(fresh_for.as_nanos()));
        queue.forget();
        assert!(lock(&queue.table.0).sockets.is_empty());
        assert_eq!(lock(&queue.last).found, Requests::default());
        // The next look needs none of it.
        wait_for(&queue, 1, 0);
    }

    #[test]
    fn a_request_is_queued_until_it_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let queue = OwnQueue::new(SocketTable::default(), address.port());
        // A connection without a request waits for nothing.
        let mut client = TcpStream::connect(address).unwrap();
        assert_eq!(wait_for(&queue, 0, 0), RequestQueue::default());

        client.write_all(b"request").unwrap();
        let sent = Instant::now();
        wait_for(&queue, 1, 0);
        thread::sleep(Duration::from_millis(300));
        let oldest = queue.read().unwrap().oldest_seconds;
        // To a kernel tick, of which there are at least 100 in a second.
        let age = sent.elapsed().as_secs_f64();
        assert!(oldest > 0.28 && oldest < age + 0.02, "{oldest} of {age}");

        let (mut accepted, _) = listener.accept().unwrap();
        wait_for(&queue, 0, 1);
        accepted.read_exact(&mut [0; 7]).unwrap();
        assert_eq!(wait_for(&queue, 0, 0), RequestQueue::default());
        // The next one on the same connection.
        accepted.write_all(b"response").unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        thread::sleep(Duration::from_millis(50));
        client.write_all(b"another").unwrap();
        wait_for(&queue, 0, 1);
    }
}
