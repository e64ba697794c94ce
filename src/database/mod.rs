//! A database behind a synchronous and an asynchronous driver, for the endpoints that wait for a query.
//!
//! The synchronous driver is Diesel with its pool r2d2, on SQLite or PostgreSQL. The asynchronous driver is
//! tokio-postgres with the pool deadpool, on PostgreSQL only: SQLite is a library that computes on the calling
//! thread, so it has no asynchronous driver.
//!
//! * `config`: the database and the limits of its pools
//! * `query`: a query, and how many the database runs at the same time
//! * `synchronous`: the synchronous driver and its pool
//! * `asynchronous`: the asynchronous driver and its pool
//! * `postgres`: the statements of both for PostgreSQL
//! * `error`: reasons why a query failed
//! * `waits`: waits for a connection
//! * `pools`: the metrics of all pools

mod asynchronous;
mod config;
mod error;
mod pools;
mod postgres;
mod query;
mod synchronous;
mod waits;

pub use asynchronous::AsynchronousDriver;
pub use config::{DatabaseConfig, DatabaseConfigError, DatabaseSource};
pub use error::{DatabaseError, DatabaseStartError};
pub use pools::DatabasePools;
pub use query::{DatabaseQuery, MAX_SLOTS};
pub use synchronous::SynchronousDriver;

/// The drivers of one server. Clones share their pools.
#[derive(Debug, Clone)]
pub struct Database {
    /// Synchronous driver.
    pub synchronous: SynchronousDriver,
    /// Asynchronous driver; `None` if the database has none.
    pub asynchronous: Option<AsynchronousDriver>,
}

impl Database {
    /// Creates the drivers of the server with this name, and adds their pools to `pools`. Connections are opened
    /// when they are first needed, so the database does not have to run yet.
    ///
    /// # Errors
    ///
    /// If a thread of the drivers cannot be started.
    pub fn open(
        config: &DatabaseConfig,
        server: &str,
        pools: &mut DatabasePools,
    ) -> Result<Self, DatabaseStartError> {
        let slots = query::SlotLocks::default();
        let waits = pools.waits(server, "synchronous");
        let synchronous = SynchronousDriver::new(config, server, waits, slots.clone())?;
        let probe = synchronous.clone();
        pools.add(server, "synchronous", move || probe.status());

        let asynchronous = match &config.source {
            DatabaseSource::Sqlite => None,
            DatabaseSource::Postgres(postgres) => {
                let waits = pools.waits(server, "asynchronous");
                let driver = AsynchronousDriver::new(postgres, config, server, waits, slots)?;
                let probe = driver.clone();
                pools.add(server, "asynchronous", move || probe.status());
                Some(driver)
            }
        };
        Ok(Self {
            synchronous,
            asynchronous,
        })
    }
}
