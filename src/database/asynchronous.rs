//! The asynchronous driver: tokio-postgres with the pool deadpool. A query occupies no thread while it waits.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime as TimerRuntime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType,
};
use scopeguard::ScopeGuard;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, NoTls};
use tokio_util::task::AbortOnDropHandle;

use super::config::{DatabaseConfig, PostgresUrl};
use super::error::{DatabaseError, DatabaseStartError};
use super::pools::PoolStatus;
use super::postgres;
use super::query::{DatabaseQuery, SlotLocks};
use super::waits::Waits;

/// Time for PostgreSQL to cancel a query before its connection is closed.
const CANCEL_DEADLINE: Duration = Duration::from_secs(5);

/// tokio-postgres and a pool of connections. Clones share the pool.
#[derive(Clone)]
pub struct AsynchronousDriver {
    pool: Pool<ClientOpener>,
    thread: Arc<DriverThread>,
    timeout: Duration,
    waits: Waits,
    slots: SlotLocks,
}

impl AsynchronousDriver {
    pub(super) fn new(
        url: &PostgresUrl,
        config: &DatabaseConfig,
        server: &str,
        waits: Waits,
        slots: SlotLocks,
    ) -> Result<Self, DatabaseStartError> {
        let thread = Arc::new(DriverThread::start(server)?);
        let opener = ClientOpener {
            config: url.for_tokio_postgres(&format!("threadlab {server} asynchronous")),
            driver: thread.handle.clone(),
        };
        let limit = Some(config.timeout);
        let pool = Pool::builder(opener)
            .max_size(config.connections.get() as usize)
            .wait_timeout(limit)
            .create_timeout(limit)
            .recycle_timeout(limit)
            .runtime(TimerRuntime::Tokio1)
            .build()?;
        Ok(Self {
            pool,
            thread,
            timeout: config.timeout,
            waits,
            slots,
        })
    }

    /// Runs a query. If the future is dropped, PostgreSQL cancels the query, and its connection is closed after that.
    /// Returns the time that it waited for a connection.
    ///
    /// # Errors
    ///
    /// If no connection is free or can be opened in time, or if the query fails.
    pub async fn query(&self, query: &DatabaseQuery) -> Result<Duration, DatabaseError> {
        let wait = self.waits.begin();
        let connection = self.pool.get().await;
        let waited = wait.end();
        let connection = connection.map_err(|error| self.no_connection(error))?;

        let limit = query.time + self.timeout;
        let slot = self.slots.next(query);
        let sleep = sleep(connection, &self.thread.handle, query.time, slot);
        match timeout(limit, sleep).await {
            Ok(Ok(())) => Ok(waited),
            Ok(Err(error)) => Err(DatabaseError::Failed(message(&error))),
            Err(_) => Err(DatabaseError::TooSlow { after: limit }),
        }
    }

    fn no_connection(&self, error: PoolError<Error>) -> DatabaseError {
        let connections = u32::try_from(self.pool.status().max_size).unwrap_or(u32::MAX);
        match error {
            PoolError::Timeout(TimeoutType::Wait) => DatabaseError::PoolExhausted {
                connections,
                limit: self.timeout,
            },
            PoolError::Backend(error) => DatabaseError::Unavailable(message(&error)),
            _ => DatabaseError::Unavailable(format!(
                "no connection was opened within {} s",
                self.timeout.as_secs_f64()
            )),
        }
    }

    pub(super) fn status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            idle: status.available,
            used: status.size.saturating_sub(status.available),
            limit: status.max_size,
        }
    }
}

impl fmt::Debug for AsynchronousDriver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("AsynchronousDriver").finish()
    }
}

/// Returns the message of an error and of its causes.
fn message(error: &Error) -> String {
    anyhow::Chain::new(error)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The thread that reads and writes the connections of one server.
///
/// A socket of tokio belongs to the event loop that opened it. With this thread, every thread of a server can use every
/// connection, also on the synchronous server, whose event loops stand still between two requests; and an event loop
/// that is blocked delays its own queries only.
struct DriverThread {
    handle: Handle,
    /// `None` once this is dropped.
    runtime: Option<Runtime>,
}

impl DriverThread {
    fn start(server: &str) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name(format!("{server}-database"))
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        // Unlike dropping the runtime, this is allowed on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Opens and checks the connections of a pool.
#[derive(Debug)]
struct ClientOpener {
    config: tokio_postgres::Config,
    driver: Handle,
}

impl Manager for ClientOpener {
    type Type = Client;
    type Error = Error;

    fn create(&self) -> impl Future<Output = Result<Client, Error>> + Send {
        let config = self.config.clone();
        // Aborted if the pool gives up: a database that does not respond would collect the connections.
        let opened = AbortOnDropHandle::new(self.driver.spawn(async move {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(error = message(&error), "a database connection was lost");
                }
            });
            Ok(client)
        }));
        async move {
            match opened.await {
                Ok(result) => result,
                // The driver's thread has ended, as at the end of the process.
                Err(_) => std::future::pending().await,
            }
        }
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<Error> {
        // The driver's thread notices at once when PostgreSQL closes a connection.
        if client.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}

/// Sleeps in PostgreSQL, with a slot if there is one. If the future is dropped before the end, PostgreSQL cancels the query.
async fn sleep(
    connection: Object<ClientOpener>,
    driver: &Handle,
    time: Duration,
    slot: Option<u32>,
) -> Result<(), Error> {
    let running = scopeguard::guard(connection, |connection| {
        driver.spawn(async move {
            // Until PostgreSQL has ended the query, it keeps its place in the pool.
            let _ = timeout(CANCEL_DEADLINE, cancel(&connection)).await;
            // Closes the connection instead of returning it to the pool: the cancellation could hit the next query.
            drop(Object::take(connection));
        });
    });
    let seconds = time.as_secs_f64();
    let slot = slot.map(u32::cast_signed);
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&seconds, Type::FLOAT8)];
    let statement = match &slot {
        None => postgres::SLEEP,
        Some(slot) => {
            parameters.push((slot, Type::INT4));
            postgres::SLEEP_IN_SLOT
        }
    };
    let done = running.query_typed(statement, &parameters).await;
    drop(ScopeGuard::into_inner(running));
    done.map(drop)
}

/// Cancels the query of a connection and waits until it has ended.
///
/// The cancellation can still take effect after that: PostgreSQL receives it on a connection of its own and signals the
/// process of the query, before version 17 twice (`signal_child` in postmaster.c). No signal follows once PostgreSQL has
/// closed that connection; libpq waits for this, `cancel_query` does not.
async fn cancel(client: &Client) -> Result<(), Error> {
    client.cancel_token().cancel_query(NoTls).await?;
    // PostgreSQL responds to this after it has responded to the cancelled query. If the query had ended before, the
    // cancellation ends this one.
    let _ = client.simple_query("").await;
    Ok(())
}
