//! SIGTERM and Ctrl-C.

use std::io;
use std::thread;

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught.
///
/// The process installs its own handlers, because the kernel has no default action for PID 1, as
/// which it runs in a container (signal(7), kill(2)).
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches both signals: from now on they no longer end the process, but make [`Signals::wait`]
    /// return.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptors left.
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

    /// Waits for the first SIGTERM or SIGINT. After that a second one ends the process at once with
    /// the exit status 128 plus the signal's number, as a shell reports it.
    ///
    /// # Errors
    ///
    /// When the thread that waits for the second signal cannot be started.
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
