//! The front's thread: one event loop that accepts connections and serves them.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::config::Config;
use super::connection::Connections;
use super::stop::{self, Stop, Stopping};

/// How many connections may wait to be accepted: a burst of thousands is part of the lab.
const BACKLOG: i32 = 4096;

/// How long the front waits after the kernel refused it a connection, for instance because it has
/// no file descriptor left: those in use need time to be given back.
const PAUSE: Duration = Duration::from_millis(100);

/// The front's address can't be had.
#[derive(Debug, thiserror::Error)]
#[error("the front can't listen on {address}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the kernel said.
    pub source: io::Error,
}

/// The front's socket. Clients can connect already; they are answered once [`spawn`] was called.
#[derive(Debug)]
pub struct Bound {
    listener: StdListener,
    address: SocketAddr,
}

impl Bound {
    /// The address that clients connect to; its port is never 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Takes the front's address. Port 0 lets the kernel choose one.
///
/// # Errors
///
/// If the address can't be had, for instance because another process has the port.
pub fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    listen(address).map_err(|source| BindError { address, source })
}

fn listen(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A port whose last connections are still being closed is free.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = StdListener::from(socket);
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

/// The running front. Dropped, it shuts down without anyone waiting for the end.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: Stop,
    ended: mpsc::Receiver<()>,
}

impl Running {
    /// The address that clients connect to; its port is never 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more. Idle connections and event streams end at once, requests in flight
    /// are finished.
    pub fn shutdown(&self) {
        self.stop.give();
    }

    /// Waits up to `deadline` for the end of what was in flight, and says whether all has ended.
    /// If not, the thread goes on until the process ends.
    #[must_use]
    pub fn join(self, deadline: Duration) -> bool {
        let ended = self.ended.recv_timeout(deadline);
        // The thread never sends: it hangs up when it ends.
        matches!(ended, Err(mpsc::RecvTimeoutError::Disconnected))
    }
}

/// Serves on a thread named `front`.
///
/// # Errors
///
/// If the kernel refuses the thread or its event loop.
pub fn spawn(bound: Bound, config: Config) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(bound.listener)?
    };
    let (stop, stopping) = stop::channel();
    let (ending, ended) = mpsc::channel();
    thread::Builder::new().name("front".into()).spawn(move || {
        runtime.block_on(serve(listener, config, stopping));
        drop(runtime);
        drop::<mpsc::Sender<()>>(ending);
    })?;
    Ok(Running {
        address: bound.address,
        stop,
        ended,
    })
}

/// Accepts until the word to stop, then waits for the connections to end.
async fn serve(listener: TcpListener, config: Config, stopping: Stopping) {
    let connections = Arc::new(Connections::new(config, stopping.clone()));
    // Each connection holds a receiver: the channel is closed when the last one has ended.
    let (open, _) = watch::channel(());
    let mut stop = pin!(stopping.wait());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, client)) => {
                let (connections, open) = (Arc::clone(&connections), open.subscribe());
                tokio::spawn(async move {
                    connections.serve(stream, client.ip()).await;
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the front can't accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    open.closed().await;
}
