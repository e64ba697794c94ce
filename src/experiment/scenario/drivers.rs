//! A database behind a synchronous driver, on the thread that serves requests and on another one, and behind an
//! asynchronous driver.

use std::time::{Duration, Instant};

use futures_util::future;

use super::definition::{Experiment, GuessQuestion};
use super::pair;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::lab_server::LabServer;
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::scrape::Scrape;
use crate::experiment::waits::at_once;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "drivers",
    question: "Does an asynchronous server help if the database driver is synchronous?",
    model: "A synchronous driver holds the thread that calls it until the database has responded. Called on the event \
            loop, it makes /dummy wait, and queries run one after the other. Called on the blocking pool it holds a \
            thread of that pool, and an asynchronous driver holds none: /dummy is served at once, and as many queries \
            run at the same time as there are connections. The synchronous server has one thread per query, whatever \
            the driver.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Async,
            quantity: "latency of /dummy",
            conditions: "synchronous",
            text: |wait| {
                format!(
                    "The asynchronous server queries a database for {:.1} s with a synchronous driver. After how many seconds does it respond to /dummy, sent a quarter of that later?",
                    query_time(wait).as_secs_f64()
                )
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "time for all queries",
            conditions: "offloaded",
            text: |_| {
                format!(
                    "And how long do {QUERIES} such queries take, sent at once, if they run on the blocking pool?"
                )
            },
        },
    ],
    duration: |config| {
        let cells = cells(&config.servers).filter(Cell::has_handler);
        cells.map(|cell| cell.planned(config.wait)).sum()
    },
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Ways to query the database: the last part of the path, and the driver whose connection pool it uses.
const DRIVERS: [(&str, &str); 3] = [
    ("synchronous", "synchronous"),
    ("offloaded", "synchronous"),
    ("asynchronous", "asynchronous"),
];
/// Queries that are sent at once.
const QUERIES: usize = 4;
/// Connections of the pools of the article's programs (`originals/`), and threads of FastAPI's pool: the programs export
/// no metrics. Flask has as many connections as threads or more.
const ORIGINAL_CONNECTIONS: usize = 20;
const ORIGINAL_POOL: usize = 40;

fn query_time(wait: Duration) -> Duration {
    (wait / 10).clamp(Duration::from_millis(600), Duration::from_secs(2))
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let scrape = lab.scrape().await?;
    if scrape.connections(Flavor::Async, "synchronous").is_none() {
        return Err(Error::no_database());
    }
    if scrape.connections(Flavor::Async, "asynchronous").is_none() {
        run.notes.push(
            "without the asynchronous driver: the lab's database is SQLite, which has none (start the lab with \
             --database postgresql://USER@HOST/DATABASE)"
                .to_owned(),
        );
    }
    let cells: Vec<_> = cells(&lab.servers)
        .filter(|cell| cell.exists(&scrape))
        .collect();
    lab.plan(cells.iter().map(|cell| cell.planned(lab.wait)).sum());
    for cell in cells {
        lab.show_step(&format!("{}: {}", cell.server, cell.way));
        cell.measure(lab, run).await?;
    }
    Ok(())
}

/// Returns each way to query the database on each server.
fn cells(servers: &[LabServer]) -> impl Iterator<Item = Cell> {
    DRIVERS.into_iter().flat_map(|(way, driver)| {
        servers.iter().map(move |server| Cell {
            server: *server,
            way,
            driver,
        })
    })
}

/// A server, and the way in which its handler queries the database.
struct Cell {
    server: LabServer,
    way: &'static str,
    driver: &'static str,
}

impl Cell {
    /// Returns true if the server has this handler. Flask has neither a pool for blocking calls nor an event loop.
    fn has_handler(&self) -> bool {
        !self.server.is_original()
            || self.server.flavor() == Flavor::Async
            || self.way == "synchronous"
    }

    /// Returns true if the server has this handler, and its database this driver.
    fn exists(&self, scrape: &Scrape) -> bool {
        let connections = scrape.connections(self.server.flavor(), self.driver);
        self.has_handler() && connections.is_some()
    }

    /// Returns true if the query leaves the thread free that serves requests.
    fn frees_thread(&self) -> bool {
        self.server.flavor() == Flavor::Async && self.way != "synchronous"
    }

    /// Planned duration: the query beside /dummy, and the rounds of several at once.
    fn planned(&self, wait: Duration) -> Duration {
        let threads = self.server.handler_threads().unwrap_or(1);
        let rounds = match self.frees_thread() {
            true => 1,
            false => QUERIES.div_ceil(threads),
        };
        query_time(wait) * (1 + rounds) as u32 + pair::lag(self.server)
    }

    async fn measure(&self, lab: &LabClient, run: &mut Run) -> Result<(), Error> {
        let time = query_time(lab.wait);
        let path = format!("/database/{}?seconds={}", self.way, time.as_secs_f64());
        // A query more, so that opening the first connection is not part of the measurement.
        let first = format!("/database/{}?seconds=0", self.way);
        lab.get(self.server, &first).await;
        let pair = pair::send(lab, self.server, &path, time / 4).await?;
        let setting = |load: String| {
            let mut setting = lab.setting(self.server, Via::Front, pair.threads, time, load);
            setting.pool_threads = pair.pool.filter(|_| self.way == "offloaded");
            setting
        };
        self.judge_pair(
            run,
            &setting(format!("{}, then /dummy", self.way)),
            &pair,
            time,
        );

        let before = lab.wait_until_quiet().await?;
        let start = Instant::now();
        let queries = (0..QUERIES).map(|_| lab.get_through_front(self.server, &path, start));
        let queries = future::join_all(queries).await;
        let last = queries
            .iter()
            .map(|query| query.seconds())
            .fold(0.0, f64::max);
        let setting = setting(format!("{QUERIES} at once: {}", self.way));
        self.judge_ceiling(run, &setting, &before, last, time);
        Ok(())
    }

    fn judge_pair(&self, run: &mut Run, setting: &Setting, pair: &pair::Pair, time: Duration) {
        const QUANTITY: &str = "latency of /dummy";
        let seconds = time.as_secs_f64();
        let latency = if self.frees_thread() {
            Prediction::at_most(
                QUANTITY,
                Unit::Seconds,
                at_once(time),
                "the thread is free; the limit is 0.5 s or a quarter of the query, whichever is lower",
            )
        } else if self.server.has_spare_threads() {
            Prediction::at_most(
                QUANTITY,
                Unit::Seconds,
                at_once(time),
                "another of its threads is free; the limit is 0.5 s or a quarter of the query, whichever is lower",
            )
        } else {
            Prediction::about(
                QUANTITY,
                seconds * 0.75,
                0.2,
                "the thread is held for the rest of the query; tolerance 20 % and 0.3 s for a busy machine",
            )
        };
        run.judge(setting, latency, pair.dummy.seconds());
        // uvicorn's loop wakes up during the query, and may then have to wait for a CPU.
        let (quantity, spent, waited_for_cpu) = if self.frees_thread() {
            let spent = &pair.spent;
            ("thread awaiting", spent.awaiting, spent.runnable)
        } else {
            ("thread blocked", pair.spent.blocked, 0.0)
        };
        run.judge_state(
            setting,
            Prediction::between(
                quantity,
                Unit::Seconds,
                seconds * 0.75 - waited_for_cpu,
                seconds * 1.25 + 0.3,
                "the state of the thread while the database works; tolerance 25 % and 0.3 s",
            ),
            spent,
            &pair.spent,
        );
    }

    /// Judges how many queries run at the same time, by the time that several take.
    fn judge_ceiling(
        &self,
        run: &mut Run,
        setting: &Setting,
        scrape: &Scrape,
        last: f64,
        time: Duration,
    ) {
        let is_loop = self.server.flavor() == Flavor::Async;
        let (connections, pool) = if self.server.is_original() {
            (ORIGINAL_CONNECTIONS, ORIGINAL_POOL)
        } else {
            let connections = scrape.connections(self.server.flavor(), self.driver);
            (connections.unwrap_or(1), scrape.pool(self.server))
        };
        let handlers = self.server.handler_threads();
        let threads = handlers.unwrap_or_else(|| scrape.threads(self.server));
        let at_once = match self.way {
            _ if !self.frees_thread() => threads.min(connections),
            "offloaded" => pool.min(connections),
            _ => connections,
        };
        let rounds = |at_once: usize| time.as_secs_f64() * QUERIES.div_ceil(at_once.max(1)) as f64;
        // The kernel distributes connections over event loops by a hash, so that one may get all of them.
        let most = if is_loop && !self.frees_thread() {
            rounds(1)
        } else {
            rounds(at_once)
        };
        run.judge(
            setting,
            Prediction::between(
                "time for all queries",
                Unit::Seconds,
                rounds(at_once) * 0.9,
                most * 1.2 + 0.3,
                "as many run at the same time as there are threads that may wait for them, and connections; tolerance -10 \
                 %, +20 % and 0.3 s for a busy machine",
            ),
            last,
        );
    }
}
