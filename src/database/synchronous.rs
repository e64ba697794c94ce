//! The synchronous driver: Diesel with its pool r2d2. Every call occupies the calling thread until it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::r2d2::{self, HandleError, ManageConnection, Pool, PooledConnection, R2D2Connection};
use diesel::sql_types::{Double, Integer};
use diesel::{Connection, PgConnection, QueryResult, RunQueryDsl, SqliteConnection, sql_query};

use super::config::{DatabaseConfig, DatabaseSource};
use super::error::{DatabaseError, DatabaseStartError};
use super::pools::PoolStatus;
use super::postgres;
use super::query::{DatabaseQuery, SlotLocks};
use super::waits::Waits;

/// Diesel and a pool of connections. Clones share the pool.
#[derive(Debug, Clone)]
pub struct SynchronousDriver {
    pool: Pool<Connector>,
    last_error: LastError,
    timeout: Duration,
    waits: Waits,
    slots: SlotLocks,
}

impl SynchronousDriver {
    pub(super) fn new(
        config: &DatabaseConfig,
        server: &str,
        waits: Waits,
        slots: SlotLocks,
    ) -> Result<Self, DatabaseStartError> {
        let last_error = LastError::default();
        let connector = Connector {
            source: config.source.clone(),
            application: format!("threadlab {server} synchronous"),
            last_error: last_error.clone(),
        };
        // Connections are opened when they are needed, so the database may start after the server.
        let pool = Pool::builder()
            .max_size(config.connections.get())
            .min_idle(Some(0))
            .connection_timeout(config.timeout)
            .error_handler(Box::new(LogErrors))
            .build_unchecked(connector);
        Ok(Self {
            pool,
            last_error,
            timeout: config.timeout,
            waits,
            slots,
        })
    }

    /// Runs a query. Occupies the calling thread meanwhile. Returns the time that it waited for a connection.
    ///
    /// # Errors
    ///
    /// If no connection is free or can be opened in time, or if the query fails.
    pub fn query(&self, query: &DatabaseQuery) -> Result<Duration, DatabaseError> {
        let wait = self.waits.begin();
        let connection = self.pool.get();
        let waited = wait.end();
        let mut connection = connection.map_err(|_| self.no_connection())?;
        self.run(&mut connection, query)?;
        Ok(waited)
    }

    /// Returns the longest time that a query of `time` may take, with the wait for its connection.
    #[must_use]
    pub fn longest(&self, time: Duration) -> Duration {
        self.timeout + time + self.timeout
    }

    fn no_connection(&self) -> DatabaseError {
        match self.last_error.get() {
            Some(error) => DatabaseError::Unavailable(error),
            None => DatabaseError::PoolExhausted {
                connections: self.pool.max_size(),
                limit: self.timeout,
            },
        }
    }

    fn run(
        &self,
        connection: &mut PooledConnection<Connector>,
        query: &DatabaseQuery,
    ) -> Result<(), DatabaseError> {
        let started = Instant::now();
        let limit = query.time + self.timeout;
        let slot = self.slots.next(query);
        let done = match &mut **connection {
            DieselConnection::Sqlite(sqlite) => {
                // `None` without a slot, and an error if it did not become free.
                let taken = slot.map(|slot| {
                    let taken = self.slots.take(slot, limit);
                    taken.ok_or(DatabaseError::TooSlow { after: limit })
                });
                let _taken = taken.transpose()?;
                sleep_in_sqlite(sqlite, query.time)
            }
            DieselConnection::Postgres(postgres) => {
                sleep_in_postgres(postgres, query.time, slot, limit)
            }
        };
        done.map_err(|error| match started.elapsed() {
            after if after >= limit => DatabaseError::TooSlow { after: limit },
            _ => DatabaseError::Failed(error.to_string()),
        })
    }

    pub(super) fn status(&self) -> PoolStatus {
        let state = self.pool.state();
        PoolStatus {
            idle: state.idle_connections as usize,
            used: state.connections.saturating_sub(state.idle_connections) as usize,
            limit: self.pool.max_size() as usize,
        }
    }
}

fn sleep_in_sqlite(connection: &mut SqliteConnection, time: Duration) -> QueryResult<()> {
    diesel::select(sleep(time.as_secs_f64()))
        .get_result::<f64>(connection)
        .map(drop)
}

/// Sleeps in PostgreSQL, with a slot if there is one. PostgreSQL itself ends the query after `limit`: libpq waits for
/// the response without a deadline of its own.
fn sleep_in_postgres(
    connection: &mut PgConnection,
    time: Duration,
    slot: Option<u32>,
    limit: Duration,
) -> QueryResult<()> {
    let milliseconds = limit.as_millis();
    connection.batch_execute(&format!("SET statement_timeout = {milliseconds}"))?;
    let seconds = time.as_secs_f64();
    let done = match slot {
        None => sql_query(postgres::SLEEP)
            .bind::<Double, _>(seconds)
            .execute(connection),
        Some(slot) => sql_query(postgres::SLEEP_IN_SLOT)
            .bind::<Double, _>(seconds)
            .bind::<Integer, _>(slot.cast_signed())
            .execute(connection),
    };
    done.map(drop)
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// Sleeps, as PostgreSQL's `pg_sleep`, and returns the seconds.
    fn sleep(seconds: Double) -> Double;
}

/// A connection of Diesel.
enum DieselConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Opens and checks the connections of a pool.
#[derive(Debug)]
struct Connector {
    source: DatabaseSource,
    application: String,
    last_error: LastError,
}

impl Connector {
    fn open(&self) -> Result<DieselConnection, r2d2::Error> {
        match &self.source {
            DatabaseSource::Sqlite => {
                let mut connection = SqliteConnection::establish(":memory:")
                    .map_err(r2d2::Error::ConnectionError)?;
                sleep_utils::register_impl(&mut connection, |seconds: f64| {
                    thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
                    seconds
                })
                .map_err(r2d2::Error::QueryError)?;
                Ok(DieselConnection::Sqlite(connection))
            }
            DatabaseSource::Postgres(url) => {
                let mut connection = PgConnection::establish(&url.for_libpq())
                    .map_err(r2d2::Error::ConnectionError)?;
                let name = format!("SET application_name = '{}'", self.application);
                connection
                    .batch_execute(&name)
                    .map_err(r2d2::Error::QueryError)?;
                Ok(DieselConnection::Postgres(connection))
            }
        }
    }
}

impl ManageConnection for Connector {
    type Connection = DieselConnection;
    type Error = r2d2::Error;

    fn connect(&self) -> Result<DieselConnection, r2d2::Error> {
        let opened = self.open();
        self.last_error.set(opened.as_ref().err());
        opened
    }

    fn is_valid(&self, connection: &mut DieselConnection) -> Result<(), r2d2::Error> {
        let alive = match connection {
            DieselConnection::Sqlite(sqlite) => sqlite.ping(),
            DieselConnection::Postgres(postgres) => postgres.ping(),
        };
        alive.map_err(r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut DieselConnection) -> bool {
        thread::panicking()
            || match connection {
                DieselConnection::Sqlite(sqlite) => sqlite.is_broken(),
                DieselConnection::Postgres(postgres) => postgres.is_broken(),
            }
    }
}

/// Why the last attempt to open a connection failed; nothing if it succeeded. r2d2 itself says only that no
/// connection was there in time.
#[derive(Debug, Clone, Default)]
struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    fn set(&self, error: Option<&r2d2::Error>) {
        let error = error.map(|error| error.to_string().trim().to_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn get(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Logs the errors of r2d2's own threads.
#[derive(Debug)]
struct LogErrors;

impl HandleError<r2d2::Error> for LogErrors {
    fn handle_error(&self, error: r2d2::Error) {
        tracing::warn!(
            error = error.to_string().trim(),
            "the database connection failed"
        );
    }
}
