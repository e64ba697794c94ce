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
        }
    }

    /// Returns the execution model, from which the predictions follow.
    #[must_use]
    pub const fn flavor(self) -> Flavor {
        match self {
            Self::Sync | Self::Flask => Flavor::Sync,
            Self::Async | Self::Fastapi => Flavor::Async,
        }
    }

    /// Returns true for the article's programs. They count no requests, and send no `Server-Timing`.
    #[must_use]
    pub const fn is_original(self) -> bool {
        matches!(self, Self::Flask | Self::Fastapi)
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
