//! Reasons why a query failed.

use std::time::Duration;

/// Reason why a query failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// All connections were in use for as long as a request may wait.
    #[error(
        "no database connection was free within {} s: all {connections} of the pool were in use",
        limit.as_secs_f64()
    )]
    PoolExhausted {
        /// Maximum number of connections of the pool.
        connections: u32,
        /// Time for which a request may wait.
        limit: Duration,
    },
    /// No connection could be opened: the database is down, unreachable or has no more room.
    #[error("cannot connect to the database: {0}")]
    Unavailable(String),
    /// The connection was lost or the database reported an error during the query.
    #[error("the database failed during the query: {0}")]
    Failed(String),
    /// The query took longer than requested, and longer than the limit beyond that.
    #[error("the query was given up after {} s", after.as_secs_f64())]
    TooSlow {
        /// Time after which it was given up.
        after: Duration,
    },
}

/// Error while starting the drivers of a database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseStartError {
    /// A thread could not be started.
    #[error("cannot start the thread of the database driver")]
    Thread(#[from] std::io::Error),
    /// A pool could not be created.
    #[error("cannot create the connection pool")]
    Pool(#[from] deadpool::managed::BuildError),
}
