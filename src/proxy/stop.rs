//! The word to stop, from the owner of the front to all of its connections.

use tokio::sync::watch;

/// Gives the word. Dropped, it gives it too.
#[derive(Debug)]
pub(super) struct Stop(watch::Sender<bool>);

impl Stop {
    /// Gives the word to everyone who waits for it.
    pub(super) fn give(&self) {
        self.0.send_replace(true);
    }
}

/// Waits for the word.
#[derive(Debug, Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns once the word was given, at once if it was given before.
    pub(super) async fn wait(mut self) {
        // An error says that the sender is gone, which is the word too.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

/// A word to give and to wait for.
pub(super) fn channel() -> (Stop, Stopping) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Stopping(receiver))
}
