//! Things that blocked threads wait for.

/// Thing that a blocked thread waits for: the label `on` of `thread_blocked_seconds_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum On {
    /// A timer.
    Sleep,
    /// A lock, condition variable or semaphore (futex).
    Lock,
    /// A socket that is not a client's connection: a database, another server.
    Socket,
    /// A client's connection: its request's body, or room for the response.
    Client,
    /// A file, device or file lock.
    File,
    /// The disk: uninterruptible input or output, `fsync`.
    Disk,
    /// A pipe.
    Pipe,
    /// A child process.
    Child,
    /// A page fault.
    Fault,
    /// A signal that continues it, or its control group's thaw.
    Stopped,
    /// Anything else, and what cannot be known.
    Other,
}

impl On {
    /// Every value.
    pub const ALL: [Self; 11] = [
        Self::Sleep,
        Self::Lock,
        Self::Socket,
        Self::Client,
        Self::File,
        Self::Disk,
        Self::Pipe,
        Self::Child,
        Self::Fault,
        Self::Stopped,
        Self::Other,
    ];

    /// Its name in metrics and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Lock => "lock",
            Self::Socket => "socket",
            Self::Client => "client",
            Self::File => "file",
            Self::Disk => "disk",
            Self::Pipe => "pipe",
            Self::Child => "child",
            Self::Fault => "fault",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}
