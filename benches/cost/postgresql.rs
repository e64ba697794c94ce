//! A service whose requests await a query of PostgreSQL: what the library costs in a service that does some work.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use deadpool::managed::{Manager, Metrics, Pool, RecycleError, RecycleResult};
use http::StatusCode;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio_postgres::{Client, Config, Error, NoTls, Row, Statement};

use crate::comparison::Comparison;
use crate::cpu::Cpus;
use crate::goal::Goals;
use crate::postgres::Postgres;
use crate::service::Runtime;

pub(crate) const TITLE: &str = "a service with a query of PostgreSQL";

/// Connections of each service, for 32 requests in flight.
const CONNECTIONS: usize = 8;

/// A shop with 1,000 products in 100 categories.
const SCHEMA: &str = "
    CREATE TABLE products (id int PRIMARY KEY, category int, name text, cents bigint);
    INSERT INTO products SELECT i, i % 100, 'product ' || i, i * 7 FROM generate_series(1, 1000) i;
    CREATE INDEX ON products (category, id);
    ANALYZE products;";
/// It results in the ten products of a category.
const QUERY: &str = "SELECT id, name, cents FROM products WHERE category = $1 ORDER BY id";

/// Gives each service this many turns, and writes tables in Markdown. PostgreSQL has the CPU of the load generator.
pub(crate) fn measure(
    turns: usize,
    slice: Duration,
    cpus: &Cpus,
    goals: &mut Goals,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Some(postgres) = Postgres::start_if_installed(&[]) else {
        writeln!(
            out,
            "## {TITLE}\n\nNot measured: PostgreSQL is not installed.\n"
        )?;
        return Ok(());
    };
    let config: Config = postgres.url().parse()?;
    create_shop(&config).context("the tables cannot be created")?;
    let app = || {
        let opener = ConnectionOpener(config.clone());
        let pool = Pool::builder(opener).max_size(CONNECTIONS).build()?;
        Ok(Router::new()
            .route("/dummy", get(products))
            .with_state(pool))
    };
    let comparison =
        Comparison::of_service(TITLE, app, Runtime::CurrentThread, Some([1.01, 1.02]), cpus)?;
    comparison.measure(turns, slice)?.write(goals, out)?;
    Ok(())
}

fn create_shop(config: &Config) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        client.batch_execute(SCHEMA).await?;
        drop(client);
        connection.await??;
        Ok(())
    })
}

/// Opens the connections of a service, on its event loop, and prepares their query.
struct ConnectionOpener(Config);

/// A connection with its prepared query.
struct Connection {
    client: Client,
    query: Statement,
}

impl Manager for ConnectionOpener {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        let (client, connection) = self.0.connect(NoTls).await?;
        // Its queries report its end.
        tokio::spawn(connection);
        let query = client.prepare(QUERY).await?;
        Ok(Connection { client, query })
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        match connection.client.is_closed() {
            true => Err(RecycleError::message("the connection is closed")),
            false => Ok(()),
        }
    }
}

#[derive(Debug, Serialize)]
struct Product {
    id: i32,
    name: String,
    cents: i64,
}

/// Returns the products of a category. A failure ends the benchmark: the load generator expects 200.
async fn products(
    State(pool): State<Pool<ConnectionOpener>>,
) -> Result<Json<Vec<Product>>, StatusCode> {
    let failed = |error| {
        tracing::error!(%error, "a query failed");
        StatusCode::SERVICE_UNAVAILABLE
    };
    let connection = pool
        .get()
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let category: i32 = fastrand::i32(0..100);
    let rows = connection
        .client
        .query(&connection.query, &[&category])
        .await
        .map_err(failed)?;
    let product = |row: &Row| {
        Ok(Product {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            cents: row.try_get(2)?,
        })
    };
    let products: Result<_, Error> = rows.iter().map(product).collect();
    products.map(Json).map_err(failed)
}
