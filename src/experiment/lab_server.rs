//! Servers that experiments can compare.

use std::fmt;

use crate::flavor::Flavor;

/// A server of a lab: one of its own, or one of the article's programs, which the lab watches from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum LabServer {
    /// The synchronous server.
    Sync,
    /// The asynchronous server.
    Async,
    /// The article's Flask program, on one thread.
    Flask,
    /// The article's FastAPI program, on uvicorn.
    Fastapi,
    /// The article's Flask program on gunicorn, with one synchronous worker.
    Gunicorn,
    /// The article's Flask program on gunicorn, with four threads.
    Gthread,
}

impl LabServer {
    /// The lab's own servers, which every lab has.
    pub const OWN: [Self; 2] = [Self::Sync, Self::Async];

    /// Returns the name used in paths, metric labels, reports and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => Flavor::Sync.as_str(),
            Self::Async => Flavor::Async.as_str(),
            Self::Flask => "flask",
            Self::Fastapi => "fastapi",
            Self::Gunicorn => "gunicorn",
            Self::Gthread => "gthread",
        }
    }

    /// Returns the execution model, from which the predictions follow.
    #[must_use]
    pub const fn flavor(self) -> Flavor {
        match self {
            Self::Sync | Self::Flask | Self::Gunicorn | Self::Gthread => Flavor::Sync,
            Self::Async | Self::Fastapi => Flavor::Async,
        }
    }

    /// Returns the number of threads that handle requests; `None` for the lab's own servers, whose metrics have it.
    /// Those of the article's programs do not: a watcher also sees threads that do something else.
    #[must_use]
    pub const fn handler_threads(self) -> Option<usize> {
        match self {
            Self::Sync | Self::Async => None,
            Self::Flask | Self::Fastapi | Self::Gunicorn => Some(1),
            Self::Gthread => Some(4),
        }
    }

    /// Returns true if another thread is free while one is held.
    #[must_use]
    pub const fn has_spare_threads(self) -> bool {
        matches!(self.handler_threads(), Some(2..))
    }

    /// Returns true for the article's programs. They count no requests, and send no `Server-Timing`.
    #[must_use]
    pub const fn is_original(self) -> bool {
        self.handler_threads().is_some()
    }
}

impl From<Flavor> for LabServer {
    fn from(flavor: Flavor) -> Self {
        match flavor {
            Flavor::Sync => Self::Sync,
            Flavor::Async => Self::Async,
        }
    }
}

impl fmt::Display for LabServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
