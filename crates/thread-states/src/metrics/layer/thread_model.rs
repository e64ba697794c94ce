//! The two ways in which a server uses its threads.

/// Use of a thread by a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadModel {
    /// One thread per request: a request that waits keeps its thread. The route holds the thread from
    /// the start of the handler to the end of the response.
    ThreadPerRequest,
    /// An event loop: a request that waits leaves the thread to others. The route holds the thread only
    /// while its future is polled.
    EventLoop,
}
