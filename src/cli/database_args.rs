//! Flags of the database.

use std::num::NonZeroU32;

use anyhow::Context;
use clap::Args;

use super::value::{SecondsArg, connections, timeout};
use crate::database::DatabaseConfig;

#[derive(Debug, Clone, Args)]
pub(super) struct DatabaseArgs {
    // Read as text, because a parser of clap would repeat a password in its error message.
    /// Database of the endpoints below /database: `sqlite` (in memory), or a PostgreSQL database,
    /// <postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE>. Set a password in the environment, because command
    /// lines are public
    #[arg(
        long,
        env = "THREADLAB_DATABASE",
        hide_env_values = true,
        default_value = "sqlite",
        value_name = "URL"
    )]
    database: String,
    /// Maximum number of database connections that each server opens with each of its drivers; further queries wait
    #[arg(
        long,
        env = "THREADLAB_DATABASE_POOL",
        default_value_t = DatabaseConfig::default().connections,
        value_name = "N",
        value_parser = connections
    )]
    database_pool: NonZeroU32,
    /// Time for which a request waits for a database connection, and by which a query may be late, until it fails
    /// with a 503 or 504
    #[arg(
        long,
        env = "THREADLAB_DATABASE_TIMEOUT",
        default_value_t = SecondsArg(DatabaseConfig::default().timeout),
        value_name = "SECONDS",
        value_parser = timeout
    )]
    database_timeout: SecondsArg,
}

impl DatabaseArgs {
    /// Returns the configuration of the database.
    ///
    /// # Errors
    ///
    /// If the URL is not valid.
    pub(super) fn config(&self) -> anyhow::Result<DatabaseConfig> {
        let source = self.database.parse();
        Ok(DatabaseConfig {
            source: source.context("invalid value of --database or THREADLAB_DATABASE")?,
            connections: self.database_pool,
            timeout: self.database_timeout.0,
        })
    }
}
