//! The two kinds of server that the lab compares.

use std::fmt;

/// Execution model of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// Synchronous: a thread waits for each request that it handles.
    Sync,
    /// Asynchronous: a thread runs an event loop for all its requests.
    Async,
}

impl Flavor {
    /// Both flavors, in the order of tables and pages.
    pub const ALL: [Self; 2] = [Self::Sync, Self::Async];

    /// Returns the name used in paths, metric labels, thread names and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn command_line_and_json_use_the_same_name() {
        for flavor in Flavor::ALL {
            assert_eq!(Flavor::from_str(flavor.as_str(), false), Ok(flavor));
            assert_eq!(serde_json::to_value(flavor).unwrap(), flavor.as_str());
        }
    }
}
