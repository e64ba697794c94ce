//! SIGTERM and Ctrl-C.

use std::io;
use std::thread;

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught.
///
/// The handlers are our own, so that this works as PID 1, too, for which the kernel has no
/// default ones.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on neither signal ends the process by itself, but [`Signals::wait`] hears of it.
    ///
    /// # Errors
    ///
    /// When the system gives no file descriptors for it.
    pub(super) fn catch() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(context);
        Ok(Self {
            runtime,
            terminate,
            interrupt,
        })
    }

    /// Waits for the first SIGTERM or SIGINT; from then on, a second one ends the process at once,
    /// with the status that a shell would show.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give, on which to wait for the second.
    pub(super) fn wait(mut self) -> io::Result<()> {
        self.next();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || std::process::exit(128 + self.next().as_raw_value()))?;
        Ok(())
    }

    fn next(&mut self) -> SignalKind {
        let Self {
            runtime,
            terminate,
            interrupt,
        } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = interrupt.recv() => SignalKind::interrupt(),
            }
        })
    }
}
