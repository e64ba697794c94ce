//! The front's thread: one event loop that accepts connections and serves them.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::ProxyConfig;
use super::connection::ConnectionHandler;
use crate::wire::{self, BindError};

/// Connections that may wait to be accepted. The experiments open thousands at once.
const BACKLOG: i32 = 4096;

/// The front's listening socket. Clients can connect to it already; they are served after [`spawn`].
#[derive(Debug)]
pub struct BoundProxy {
    listener: StdListener,
    address: SocketAddr,
}

impl BoundProxy {
    /// Address that clients connect to; its port is never 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Binds the front's address; port 0 chooses a free port.
///
/// # Errors
///
/// If the front cannot listen on the address, e.g. because its port is taken.
pub fn bind(address: SocketAddr) -> Result<BoundProxy, BindError> {
    listen(address).map_err(|source| BindError { address, source })
}

fn listen(address: SocketAddr) -> io::Result<BoundProxy> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A front can be restarted while connections of the previous one are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // On Linux, accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = StdListener::from(socket);
    let address = listener.local_addr()?;
    Ok(BoundProxy { listener, address })
}

/// Handle to the running front. Dropping it shuts the front down without waiting.
#[derive(Debug)]
pub struct RunningProxy {
    address: SocketAddr,
    shutdown: CancellationToken,
    /// Disconnected when the thread has ended: it holds the sender, and never sends.
    ended: Receiver<Infallible>,
}

impl RunningProxy {
    /// Address that clients connect to; its port is never 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes idle connections and event streams, and lets requests in flight
    /// finish.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the front has ended, at most for `timeout`, and returns whether it has. If not,
    /// its thread continues until the process ends.
    #[must_use]
    pub fn join(self, timeout: Duration) -> bool {
        matches!(
            self.ended.recv_timeout(timeout),
            Err(RecvTimeoutError::Disconnected)
        )
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Starts the front on a thread named `front`.
///
/// # Errors
///
/// If the kernel provides no thread or no event loop.
pub fn spawn(bound: BoundProxy, config: ProxyConfig) -> io::Result<RunningProxy> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(bound.listener)?
    };
    let shutdown = CancellationToken::new();
    let serving = serve(listener, config, shutdown.clone());
    let (alive, ended) = channel();
    thread::Builder::new().name("front".into()).spawn(move || {
        let _alive = alive;
        runtime.block_on(serving);
        drop(runtime);
    })?;
    Ok(RunningProxy {
        address: bound.address,
        shutdown,
        ended,
    })
}

/// Connections beyond the limit that get a 503 at the same time; yet more are closed without one.
const MAX_REJECTED: usize = 64;

/// Returns the number of connections to serve at once.
fn max_connections(configured: usize) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    configured.min(usize::try_from(descriptors / 3).unwrap_or(usize::MAX))
}

/// Accepts connections until the shutdown, then waits until they have ended.
async fn serve(listener: TcpListener, config: ProxyConfig, shutdown: CancellationToken) {
    let configured = config.limits.connections;
    let connections = Arc::new(ConnectionHandler::new(config, shutdown.clone()));
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((socket, client)) => {
                let is_last = wire::is_last(&socket);
                let connections = Arc::clone(&connections);
                let max = max_connections(configured);
                if open.len() < max {
                    open.spawn(async move { connections.serve(socket, client.ip()).await });
                } else if open.len() < max + MAX_REJECTED {
                    open.spawn(async move { connections.reject(socket, max).await });
                }
                if is_last {
                    wait_for_descriptors(&listener, &shutdown).await;
                }
            }
            Err(error) => tokio::time::sleep(wire::backoff(&error)).await,
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Waits until file descriptors are no longer scarce, or for a shutdown.
async fn wait_for_descriptors(listener: &TcpListener, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled()
        && let Some(delay) = wire::scarcity(listener)
    {
        tokio::time::sleep(delay).await;
    }
}
