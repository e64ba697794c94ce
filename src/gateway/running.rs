//! Threads of a gateway, and the handle to them.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::config::{ClientLimits, GatewayConfig};
use super::listener::{self, BoundGateway};
use super::memory::LargeHeads;
use super::shutdown::Shutdown;
use crate::metrics::AcceptQueue;
use thread_states::{InFlight, Registry};

/// Handle to a running gateway. Dropping it does not stop the gateway; clones refer to the same one.
#[derive(Debug, Clone)]
pub struct RunningGateway {
    address: SocketAddr,
    listeners: Arc<[TcpListener]>,
    shutdown: Shutdown,
    idle: Option<Arc<dyn IdleConnections>>,
    /// Disconnected when the last thread has ended: each holds a sender, and none sends.
    ended: Arc<Mutex<Receiver<Infallible>>>,
}

/// Connections that no thread of a gateway holds.
pub(super) trait IdleConnections: fmt::Debug + Send + Sync {
    /// Closes those without a request, and takes no others. Later calls do nothing.
    fn close_idle(&self);
}

impl RunningGateway {
    /// Address that the gateway listens on. Port 0 in the configuration is replaced by the port that
    /// the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Connections that wait to be accepted, over all listening sockets; 0 of 0 after a shutdown.
    ///
    /// It takes one system call for each socket, and works from any thread, however busy the
    /// gateway's own threads are.
    ///
    /// # Errors
    ///
    /// If the kernel does not provide the numbers.
    pub fn accept_queue(&self) -> io::Result<AcceptQueue> {
        self.listeners.iter().map(listener::accept_queue).sum()
    }

    /// Stops accepting, closes idle connections, and lets requests in flight finish. Connections
    /// that no thread has accepted yet are reset. Requests that are unread on others are served.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
        // Ends `accept` in threads that are blocked in it.
        for listener in self.listeners.iter() {
            listener::close(listener);
        }
        if let Some(idle) = &self.idle {
            idle.close_idle();
        }
    }

    /// Closes these connections, too, at the shutdown.
    pub(super) fn with_idle_connections(mut self, idle: Arc<dyn IdleConnections>) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Waits until every thread of the gateway has ended, at most for `timeout`, and returns whether
    /// they have. They end only after [`RunningGateway::shutdown`].
    #[must_use]
    pub fn join(&self, timeout: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(
            ended.recv_timeout(timeout),
            Err(RecvTimeoutError::Disconnected)
        )
    }

    /// Starts the threads, and returns when all are registered, so that the first scrape has their series. `prepare`
    /// runs on the calling thread and returns the work of one server thread, so that a missing resource is an error here
    /// and not a dead thread. `in_flight` returns the count of one thread's requests.
    pub(super) fn start<W: FnOnce() + Send + 'static>(
        bound: BoundGateway,
        registry: Option<&Registry>,
        name: &str,
        in_flight: fn() -> Arc<InFlight>,
        prepare: impl Fn(Worker) -> io::Result<W>,
    ) -> io::Result<Self> {
        let (alive, ended) = channel();
        let (unregistered, all_registered) = channel();
        let running = Self {
            address: bound.local_addr(),
            listeners: bound.listeners.into(),
            shutdown: Shutdown::default(),
            idle: None,
            ended: Arc::new(Mutex::new(ended)),
        };
        if let Some(registry) = registry {
            registry.add_client_port(running.address.port());
        }
        let large_heads = LargeHeads::new(bound.config.limits.large_heads());
        for index in 0..bound.config.threads.get() {
            let in_flight = registry.map(|_| in_flight());
            running
                .worker(&bound.config, name, index, in_flight, large_heads.clone())
                .and_then(|worker| {
                    let senders = (alive.clone(), unregistered.clone());
                    start_thread(registry.cloned(), worker, senders, &prepare)
                })
                .inspect_err(|_| running.shutdown())?;
        }
        drop(unregistered);
        // Nothing is ever sent: it fails when the last sender is dropped.
        let _ = all_registered.recv();
        Ok(running)
    }

    fn worker(
        &self,
        config: &GatewayConfig,
        name: &str,
        index: usize,
        in_flight: Option<Arc<InFlight>>,
        large_heads: LargeHeads,
    ) -> io::Result<Worker> {
        Ok(Worker {
            index,
            name: format!("{name}-{index}"),
            listener: self.listeners[index % self.listeners.len()].try_clone()?,
            limits: config.limits,
            pool_threads: config.pool_threads,
            connections: config.connections.get().div_ceil(config.threads.get()),
            large_heads,
            shutdown: self.shutdown.of_thread(),
            in_flight,
        })
    }
}

/// Starts one thread, which holds `alive` until it ends, and `unregistered` until it is registered.
fn start_thread<W: FnOnce() + Send + 'static>(
    registry: Option<Registry>,
    worker: Worker,
    (alive, unregistered): (Sender<Infallible>, Sender<Infallible>),
    prepare: impl Fn(Worker) -> io::Result<W>,
) -> io::Result<()> {
    let thread = thread::Builder::new().name(worker.name.clone());
    let (index, accounted) = (worker.index, registry.zip(worker.in_flight.clone()));
    let work = prepare(worker)?;
    thread.spawn(move || {
        let _alive = alive;
        let _registration =
            accounted.map(|(registry, in_flight)| registry.register(index, in_flight));
        drop(unregistered);
        work();
    })?;
    Ok(())
}

/// Everything that one server thread needs.
#[derive(Debug)]
pub(super) struct Worker {
    index: usize,
    /// Name of the thread, e.g. `sync-0`.
    pub(super) name: String,
    pub(super) listener: TcpListener,
    pub(super) limits: ClientLimits,
    /// Maximum number of threads of its blocking pool.
    pub(super) pool_threads: NonZeroUsize,
    /// Connections that an event loop serves at once.
    pub(super) connections: usize,
    /// Limit that all threads share.
    pub(super) large_heads: LargeHeads,
    pub(super) shutdown: Shutdown,
    /// Requests in flight on this thread, if it is accounted for.
    pub(super) in_flight: Option<Arc<InFlight>>,
}
