//! Connection pools of different sizes under open-loop load, and a database that runs fewer queries than the pool has
//! connections.

use std::time::{Duration, Instant};

use futures_util::future;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use super::crowd::beside;
use super::definition::{Experiment, GuessQuestion};
use crate::experiment::capacity_plan::overloaded;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::latency_columns::{latency_cells, latency_columns};
use crate::experiment::load::{self, LoadResult};
use crate::experiment::mdc_queue::{self, MdcQueue};
use crate::experiment::plural::plural;
use crate::experiment::report::{Column, DataTable, Prediction, Run, Setting, Unit};
use crate::experiment::schedule::Schedule;
use crate::experiment::scrape::Scrape;
use crate::experiment::simulated_queue::SimulatedQueue;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "pools",
    question: "How many database connections are enough?",
    model: "A connection is held by one query at a time, as a synchronous thread is by one request. So c connections \
            serve at most c/W queries per second that take W seconds each, on any number of threads. Above that rate \
            the queue for a connection grows without limit. More connections shorten it only if the database can run as \
            many queries at a time. Otherwise the requests wait for just as long, but within the database, where the \
            pool's metrics do not show them. The predictions come from simulating a first-come, first-served queue with \
            the same send times.",
    guesses: &[
        GuessQuestion {
            server: SERVER,
            quantity: "responses",
            conditions: "5 connections: 60/s",
            text: |_| {
                format!(
                    "Each query takes {} s, and 60 requests per second share a pool of 5 connections. How many responses are there per second?",
                    QUERY.as_secs_f64()
                )
            },
        },
        GuessQuestion {
            server: SERVER,
            quantity: "mean time in the database",
            conditions: "20 connections, database of 5: 60/s",
            text: |wait| {
                format!(
                    "A pool of 20 for the same load, but the database runs only 5 queries at a time. How many seconds does such a query spend in the database, on average over {:.1} s?",
                    length(wait).as_secs_f64()
                )
            },
        },
    ],
    duration: |config| {
        POOLS
            .iter()
            .map(|pool| pool.planned(config.wait) + RELEASE_MARGIN)
            .sum()
    },
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// The synchronous server has one query per thread, so there the threads are the limit.
const SERVER: Flavor = Flavor::Async;
/// Time that a query takes in the database.
const QUERY: Duration = Duration::from_millis(100);

/// A size of the connection pool, and the loads on it.
struct Pool {
    connections: usize,
    loads: &'static [Load],
}

/// A load on the database.
#[derive(Clone, Copy)]
struct Load {
    /// Queries that the database runs at the same time, if there is a limit.
    slots: Option<usize>,
    /// Requests per second.
    rate: f64,
}

/// At each size a load that it can serve and one that it cannot. The larger pool removes the queue, unless the database
/// is the limit.
const POOLS: [Pool; 3] = [
    Pool {
        connections: 1,
        loads: &[Load::new(None, 8.0), Load::new(None, 12.0)],
    },
    Pool {
        connections: 5,
        loads: &[Load::new(None, 40.0), Load::new(None, 60.0)],
    },
    Pool {
        connections: LARGEST,
        loads: &[
            Load::new(None, 60.0),
            Load::new(Some(5), 40.0),
            Load::new(Some(5), 60.0),
        ],
    },
];
const LARGEST: usize = 20;

/// Time of an overloaded queue in relation to the simulation, at most: each query also costs CPU time.
const SLOWDOWN: f64 = 1.25;
/// Time for the scrapes before and after a load.
const SCRAPES: Duration = Duration::from_millis(300);
/// Time for the queries that hold connections to begin, and limit until they have.
const HOLD_MARGIN: Duration = Duration::from_secs(1);
/// Time beyond the planned end of the queries that hold connections, until all have ended.
const RELEASE_MARGIN: Duration = Duration::from_secs(1);
/// Interval at which the number of used connections is read.
const POLL: Duration = Duration::from_millis(50);

/// Returns the length of each load: 5 s for the default wait of 20 s. At most 20 s: after that, requests of an overload
/// could wait for longer than a server allows (`--database-timeout`), which is 10 s by default.
fn length(wait: Duration) -> Duration {
    (wait / 4).clamp(Duration::from_millis(500), Duration::from_secs(20))
}

impl Load {
    const fn new(slots: Option<usize>, rate: f64) -> Self {
        Self { slots, rate }
    }

    /// Returns the number of queries that run at the same time, at most.
    fn at_a_time(self, connections: usize) -> usize {
        self.slots.unwrap_or(connections).min(connections)
    }

    fn simulated(self, length: Duration, connections: usize) -> SimulatedPool {
        SimulatedPool::new(
            &self.schedule(length),
            connections,
            self.at_a_time(connections),
        )
    }

    fn schedule(self, length: Duration) -> Schedule {
        let requests = self.rate * length.as_secs_f64();
        Schedule::random(requests.round() as usize, length)
    }

    /// Returns the share of the capacity that is requested: above 1, the queue grows.
    fn share(self, connections: usize) -> f64 {
        self.rate * QUERY.as_secs_f64() / self.at_a_time(connections) as f64
    }
}

impl Pool {
    /// Returns the time that the loads take, until the last response, at most.
    fn planned(&self, wait: Duration) -> Duration {
        let times = self.loads.iter().map(|load| {
            let pool = load.simulated(length(wait), self.connections);
            pool.queue.end().mul_f64(SLOWDOWN) + SCRAPES
        });
        times.sum::<Duration>() + HOLD_MARGIN
    }
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let scrape = lab.scrape().await?;
    let driver = Driver::of(&scrape)?;
    if driver.way == "offloaded" {
        run.notes.push(
            "through the synchronous driver on the blocking pool: the lab's database is SQLite, which has no asynchronous \
             driver"
                .to_owned(),
        );
    }
    let mut table = DataTable {
        title: format!(
            "Latency by pool: each query takes {} s in the database, each load {:.1} s",
            QUERY.as_secs_f64(),
            length(lab.wait).as_secs_f64()
        ),
        source: mdc_queue::SOURCE,
        columns: columns(),
        rows: Vec::new(),
    };
    driver.open_connections(lab).await?;
    for pool in POOLS {
        driver.measure(&pool, lab, run, &mut table).await?;
    }
    run.notes.push(
        "the formula is about the steady state, and above 100 % about the average growth of the queue; so short a load is \
         one sample of either, and the predictions come from its own send times"
            .to_owned(),
    );
    run.tables.push(table);
    Ok(())
}

fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("connections", Unit::Count),
        Column::new("at a time", Unit::Count),
        Column::new("rate", Unit::PerSecond),
        Column::new("load, %", Unit::Count),
    ];
    columns.extend(latency_columns());
    columns
}

/// A driver of the server, and its connections.
struct Driver {
    /// Last part of the path.
    way: &'static str,
    /// Name in the metrics.
    name: &'static str,
    /// Connections of its pool.
    connections: usize,
    threads: usize,
    /// Limit of the blocking pool, if it is used.
    pool_threads: Option<usize>,
}

impl Driver {
    /// Returns the asynchronous driver, or without one the synchronous driver on the blocking pool.
    fn of(scrape: &Scrape) -> Result<Self, Error> {
        let found = [
            ("asynchronous", "asynchronous"),
            ("offloaded", "synchronous"),
        ]
        .into_iter()
        .find_map(|(way, name)| Some((way, name, scrape.connections(SERVER, name)?)));
        let (way, name, connections) = found.ok_or_else(Error::no_database)?;
        if connections < LARGEST {
            return Err(Error::NotHere(format!(
                "the pool of the {SERVER} server has {}, fewer than {LARGEST}; start the lab with --database-pool {LARGEST}",
                plural(connections, "connection")
            )));
        }
        if scrape.started(SERVER).len() > 1 {
            return Err(Error::NotHere(format!(
                "there are several replicas of the {SERVER} server, each with a pool of its own"
            )));
        }
        Ok(Self {
            way,
            name,
            connections,
            threads: scrape.threads(SERVER),
            pool_threads: (way == "offloaded").then(|| scrape.pool(SERVER)),
        })
    }

    fn path(&self, time: Duration) -> String {
        format!("/database/{}?seconds={}", self.way, time.as_secs_f64())
    }

    /// Uses all connections once, so that opening them is not part of the measurement.
    async fn open_connections(&self, lab: &LabClient) -> Result<(), Error> {
        let path = self.path(QUERY * 3);
        let queries = (0..self.connections).map(|_| lab.get(SERVER, &path));
        let queries = future::join_all(queries).await;
        let failed = queries.iter().filter(|query| !query.succeeded()).count();
        if failed > 0 {
            return Err(Error::NotHere(format!(
                "{failed} of {} queries at once failed; the database must be running, and have room for all connections \
                 of the pool (--database-pool)",
                queries.len()
            )));
        }
        Ok(())
    }

    /// Reduces the pool to `pool.connections`, by holding the others with long queries, and runs the loads.
    async fn measure(
        &self,
        pool: &Pool,
        lab: &LabClient,
        run: &mut Run,
        table: &mut DataTable,
    ) -> Result<(), Error> {
        let held = self.connections - pool.connections;
        let time = pool.planned(lab.wait);
        let path = self.path(time);
        let mut holders: FuturesUnordered<_> = (0..held).map(|_| lab.get(SERVER, &path)).collect();
        let started = Instant::now();
        let loads = async {
            let before = self.wait_until_used(lab, held, HOLD_MARGIN).await?;
            let mut after = before;
            if before == held {
                for load in pool.loads {
                    self.measure_load(pool.connections, *load, lab, run, table)
                        .await?;
                }
                after = self.used(lab).await?;
            }
            if held > 0 {
                let load = format!("{} of {} left free", pool.connections, self.connections);
                let setting = self.setting(lab, time, load);
                judge_held(run, &setting, held, before.min(after));
            }
            Ok::<_, Error>(())
        };
        beside(&mut holders, Box::pin(loads)).await?;
        // PostgreSQL cancels the queries of the asynchronous driver; others run to their end.
        drop(holders);
        let limit = time.saturating_sub(started.elapsed()) + RELEASE_MARGIN;
        self.wait_until_used(lab, 0, limit).await.map(drop)
    }

    fn setting(&self, lab: &LabClient, wait: Duration, load: String) -> Setting {
        let mut setting = lab.setting(SERVER, Via::Front, self.threads, wait, load);
        setting.pool_threads = self.pool_threads;
        setting
    }

    async fn used(&self, lab: &LabClient) -> Result<usize, Error> {
        Ok(lab.scrape().await?.used_connections(SERVER, self.name))
    }

    /// Waits until `count` connections are used, at most for `limit`, and returns the number at the end.
    async fn wait_until_used(
        &self,
        lab: &LabClient,
        count: usize,
        limit: Duration,
    ) -> Result<usize, Error> {
        let started = Instant::now();
        loop {
            let used = self.used(lab).await?;
            if used == count || started.elapsed() > limit {
                return Ok(used);
            }
            sleep(POLL).await;
        }
    }

    async fn measure_load(
        &self,
        connections: usize,
        load: Load,
        lab: &LabClient,
        run: &mut Run,
        table: &mut DataTable,
    ) -> Result<(), Error> {
        let length = length(lab.wait);
        let database = load
            .slots
            .map_or(String::new(), |slots| format!(", database of {slots}"));
        let name = format!(
            "{}{database}: {:.0}/s",
            plural(connections, "connection"),
            load.rate
        );
        lab.show_step(&name);
        let slots = load
            .slots
            .map_or(String::new(), |slots| format!("&slots={slots}"));
        let path = format!("{}{slots}", self.path(QUERY));
        let schedule = load.schedule(length);
        let before = lab.scrape().await?;
        let result = load::run(lab, (SERVER, Via::Front), &path, &schedule, length).await;
        let after = lab.scrape().await?;
        let (waits, waited) = after.connection_waits(SERVER, self.name);
        let (waits_before, waited_before) = before.connection_waits(SERVER, self.name);
        let wait = (waited - waited_before) / (waits - waits_before);

        let setting = self.setting(lab, QUERY, name.clone());
        let pool = load.simulated(length, connections);
        judge(run, &setting, &pool, (&result, wait), length);
        run.curves.push(result.curve(SERVER, name));
        table.rows.push(row(connections, load, &result, length));
        Ok(())
    }
}

/// A connection pool and a database, both first come, first served, with the send times of a schedule.
struct SimulatedPool {
    /// The queue for the database, in the pool and within the database.
    queue: SimulatedQueue,
    /// Mean wait for a connection in seconds, which is a part of the latency.
    wait: f64,
}

impl SimulatedPool {
    /// Simulates a pool of `connections` for a database that runs `at_a_time` queries at the same time.
    fn new(schedule: &Schedule, connections: usize, at_a_time: usize) -> Self {
        let queue = SimulatedQueue::new(schedule, at_a_time, QUERY);
        // All queries take the same time, so they end in the order in which they were sent, and each one gets the
        // connection of the one `connections` before it.
        let later = schedule.times().iter().skip(connections);
        let waits = queue.ends().zip(later);
        let waits = waits.map(|(end, sent)| end.saturating_sub(*sent));
        let wait = waits.sum::<Duration>().as_secs_f64() / schedule.times().len().max(1) as f64;
        Self { queue, wait }
    }

    /// Returns the mean time with a connection in seconds.
    fn with_connection(&self) -> f64 {
        self.queue.mean_latency() - self.wait
    }
}

/// Judges how many connections the long queries hold.
fn judge_held(run: &mut Run, setting: &Setting, held: usize, observed: usize) {
    run.judge(
        setting,
        Prediction::between(
            "connections held",
            Unit::Count,
            held as f64,
            held as f64,
            "one by each of as many long queries, before and after the loads on the others",
        ),
        observed as f64,
    );
}

/// Compares a load and its mean wait for a connection with the simulation.
fn judge(
    run: &mut Run,
    setting: &Setting,
    pool: &SimulatedPool,
    (result, wait): (&LoadResult, f64),
    length: Duration,
) {
    load::judge_responses(run, setting, &pool.queue, result, length);
    let p99 = pool.queue.latency(0.99);
    run.judge(
        setting,
        Prediction::between(
            "p99",
            Unit::Seconds,
            p99 * 0.8,
            p99 * 1.4 + 0.4,
            "p99 of the simulated queue; tolerance -20 %, +40 % and 0.4 s, because CPU time and pauses of a busy machine add up \
             in a queue",
        ),
        result.latency(0.99),
    );
    run.judge(
        setting,
        Prediction::between(
            "mean wait for a connection",
            Unit::Seconds,
            pool.wait * 0.7 - 0.01,
            pool.wait * 1.4 + 0.1,
            "mean wait of the simulated queue, against the pool's metrics; tolerance -30 % and 10 ms, +40 % and 0.1 s",
        ),
        wait,
    );
    let with_connection = pool.with_connection();
    run.judge(
        setting,
        Prediction::between(
            "mean time in the database",
            Unit::Seconds,
            with_connection * 0.8,
            with_connection * 1.4 + 0.1,
            "the query, and its wait within the database; measured as the mean latency without the wait for a \
             connection; tolerance -20 %, +40 % and 0.1 s",
        ),
        result.mean_latency() - wait,
    );
}

/// Returns the row of the table for a load.
fn row(connections: usize, load: Load, result: &LoadResult, length: Duration) -> Vec<f64> {
    let (at_a_time, share) = (load.at_a_time(connections), load.share(connections));
    let queue = MdcQueue::new(at_a_time, load.rate * QUERY.as_secs_f64());
    let mut row = vec![
        connections as f64,
        at_a_time as f64,
        load.rate,
        (share * 100.0).round(),
    ];
    let formula = |quantile| match &queue {
        Some(queue) => QUERY.as_secs_f64() * (1.0 + queue.wait(quantile)),
        None => overloaded(share, QUERY, length, quantile),
    };
    row.extend(latency_cells(formula, result));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(5);

    #[test]
    fn a_larger_pool_moves_the_queue_into_a_database_that_is_the_limit() {
        let small = Load::new(None, 60.0).simulated(LENGTH, 5);
        let large = Load::new(Some(5), 60.0).simulated(LENGTH, LARGEST);
        assert_eq!(small.queue, large.queue);
        let query = QUERY.as_secs_f64();
        let (small_wait, large_wait) = (small.wait, large.wait);
        assert!((small.with_connection() - query).abs() < 1e-9 && small_wait > 2.0 * query);
        assert!(
            large_wait < small_wait - 2.0 * query,
            "{large_wait}, {small_wait}"
        );
        let large_query = large.with_connection();
        assert!(large_query > 2.0 * query, "{large_query}");
    }

    #[test]
    fn a_larger_pool_removes_the_queue_of_a_database_that_is_not_the_limit() {
        let pool = Load::new(None, 60.0).simulated(LENGTH, LARGEST);
        let (wait, query) = (pool.wait, pool.with_connection());
        assert!(
            wait < 0.001 && (query - QUERY.as_secs_f64()).abs() < 1e-9,
            "{wait}, {query}"
        );
    }

    #[test]
    fn connections_are_held_until_the_last_response_also_of_a_long_overload() {
        for seconds in [2, 20, 120] {
            let wait = Duration::from_secs(seconds);
            for pool in POOLS {
                let ends = pool.loads.iter().map(|load| {
                    let simulated = load.simulated(length(wait), pool.connections);
                    simulated.queue.end().max(length(wait))
                });
                let ends: Duration = ends.sum();
                assert!(
                    pool.planned(wait) > ends.mul_f64(1.2),
                    "{seconds} s, {}",
                    pool.connections
                );
            }
        }
    }

    #[test]
    fn each_pool_has_a_load_below_its_capacity_and_all_but_the_largest_one_above() {
        for pool in POOLS {
            let shares = pool.loads.iter().map(|load| load.share(pool.connections));
            let shares: Vec<f64> = shares.collect();
            assert!(shares.iter().any(|share| *share < 0.9), "{shares:?}");
            assert!(shares.iter().any(|share| *share > 1.1), "{shares:?}");
        }
    }
}
