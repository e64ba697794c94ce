//! The threads of a gateway, and the handle to them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::config::{Config, Limits};
use super::listener::{self, AcceptQueue, Bound};
use super::shutdown::Shutdown;
use thread_states::{InFlight, Registry};

/// A gateway at work. It works on when this is dropped; clones are handles of the same gateway.
#[derive(Debug, Clone)]
pub struct Running {
    address: SocketAddr,
    listeners: Arc<[TcpListener]>,
    shutdown: Arc<Shutdown>,
}

impl Running {
    /// The address that it listens on, with the port that port 0 became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The connections that wait to be accepted, over all listening sockets: one cheap system call
    /// each, from any thread, however busy the gateway's own threads are. 0 of 0 after shutdown.
    ///
    /// # Errors
    ///
    /// If the kernel does not tell.
    pub fn accept_queue(&self) -> io::Result<AcceptQueue> {
        self.listeners.iter().map(AcceptQueue::of).sum()
    }

    /// Accepts nothing more, closes idle connections, and lets requests in flight finish.
    /// Connections that no thread has accepted yet are reset.
    pub fn shutdown(&self) {
        self.shutdown.request();
        for listener in self.listeners.iter() {
            listener::close(listener);
        }
    }

    /// Waits until every thread of the gateway has ended, at most `deadline`; tells whether all
    /// have. They end only after [`Running::shutdown`].
    #[must_use]
    pub fn join(&self, deadline: Duration) -> bool {
        self.shutdown.wait(deadline)
    }

    /// Starts the threads. `prepare` runs on the calling one and makes what each of them is to do,
    /// so that what it cannot get is an error here and not a dead thread.
    pub(super) fn start<W: FnOnce() + Send + 'static>(
        bound: Bound,
        registry: Option<&Registry>,
        name: &str,
        prepare: impl Fn(Worker) -> io::Result<W>,
    ) -> io::Result<Self> {
        let running = Self {
            address: bound.local_addr(),
            listeners: bound.listeners.into(),
            shutdown: Arc::default(),
        };
        for index in 0..bound.config.threads.get() {
            let in_flight = registry.map(|_| InFlight::of_one_thread());
            running
                .worker(&bound.config, name, index, in_flight)
                .and_then(|worker| running.start_one(registry.cloned(), worker, &prepare))
                .inspect_err(|_| running.shutdown())?;
        }
        Ok(running)
    }

    fn worker(
        &self,
        config: &Config,
        name: &str,
        index: usize,
        in_flight: Option<Arc<InFlight>>,
    ) -> io::Result<Worker> {
        Ok(Worker {
            index,
            name: format!("{name}-{index}"),
            listener: self.listeners[index % self.listeners.len()].try_clone()?,
            limits: config.limits,
            shutdown: Arc::clone(&self.shutdown),
            in_flight,
        })
    }

    /// Starts one thread.
    fn start_one<W: FnOnce() + Send + 'static>(
        &self,
        registry: Option<Registry>,
        worker: Worker,
        prepare: impl Fn(Worker) -> io::Result<W>,
    ) -> io::Result<()> {
        let thread = thread::Builder::new().name(worker.name.clone());
        let (index, accounted) = (worker.index, registry.zip(worker.in_flight.clone()));
        let work = prepare(worker)?;
        let alive = self.shutdown.alive();
        thread.spawn(move || {
            let _alive = alive;
            let _registration =
                accounted.map(|(registry, in_flight)| registry.register(index, in_flight));
            work();
        })?;
        Ok(())
    }
}

/// What one server thread is given.
#[derive(Debug)]
pub(super) struct Worker {
    index: usize,
    /// The thread's name, e.g. `sync-0`.
    pub(super) name: String,
    pub(super) listener: TcpListener,
    pub(super) limits: Limits,
    pub(super) shutdown: Arc<Shutdown>,
    /// The requests in flight on this thread, if it is accounted.
    pub(super) in_flight: Option<Arc<InFlight>>,
}
