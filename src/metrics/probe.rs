//! Reader of a value that is measured when it is needed.

use std::fmt;
use std::sync::Arc;

/// Function that reads a value from the kernel each time. Clones share it.
#[derive(Clone)]
pub struct Probe<T>(Arc<dyn Fn() -> Option<T> + Send + Sync>);

impl<T> Probe<T> {
    /// Creates a probe that calls `read` each time.
    pub fn new(read: impl Fn() -> Option<T> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Returns the present value; `None` if the kernel does not report it.
    #[must_use]
    pub fn read(&self) -> Option<T> {
        (self.0)()
    }
}

impl<T> fmt::Debug for Probe<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Probe")
    }
}
