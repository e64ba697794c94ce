//! The server whose layer is at work on this thread, so that a layer within one of the same server, as when
//! it is applied twice, leaves the request to the outer one.

use std::cell::Cell;

use crate::accounting::{Registry, Timestamp};

thread_local! {
    /// `Registry::began` of the server; the default for none.
    static MEASURED: Cell<Timestamp> = const { Cell::new(Timestamp::from_nanos(0)) };
}

/// Returns whether the layer of this server is at work on this thread.
pub(super) fn is_within(registry: &Registry) -> bool {
    MEASURED.with(Cell::get) == registry.began()
}

/// Calls `f` as the layer of this server.
pub(super) fn within<R>(registry: &Registry, f: impl FnOnce() -> R) -> R {
    let _restore = Restore(MEASURED.with(|measured| measured.replace(registry.began())));
    f()
}

/// Restores the value from before, also when `f` panics.
struct Restore(Timestamp);

impl Drop for Restore {
    fn drop(&mut self) {
        MEASURED.with(|measured| measured.set(self.0));
    }
}
