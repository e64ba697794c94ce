//! Servers under one load, in turns, and the bounds of the ratios of their CPU times.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use threadlab::flavor::Flavor;

use crate::cpu::{Cpus, per_response};
use crate::goal::Goals;
use crate::load::{Client, Connections, Rate};
use crate::server::{self, Accounting, Server};
use crate::service::{self, Runtime};

/// Time for a server to go to sleep after its last response: only then does the kernel account for all of its CPU
/// time.
pub(crate) const SETTLE: Duration = Duration::from_millis(1);

/// Servers under one load.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) title: String,
    servers: Vec<Server>,
    connections: Connections,
    rate: Rate,
    claims: Vec<Claim>,
}

/// A ratio of two servers' CPU times, and its goal.
#[derive(Debug, Clone, Copy)]
struct Claim {
    server: usize,
    other: usize,
    /// `None` if there is no goal.
    at_most: Option<f64>,
}

/// All comparisons.
pub(crate) fn all(cpus: &Cpus) -> anyhow::Result<Vec<Comparison>> {
    let mut all = Vec::new();
    for (flavor, connections) in [
        (Flavor::Async, Connections::Kept),
        (Flavor::Async, Connections::PerRequest),
        // By default the synchronous gateway closes the connection after each response.
        (Flavor::Sync, Connections::PerRequest),
        (Flavor::Sync, Connections::Kept),
    ] {
        for rate in [Rate::Saturation, Rate::PerSecond(1_000)] {
            all.push(Comparison::of_gateways(flavor, connections, rate, cpus)?);
        }
    }
    let goals = Some([1.01, 1.04]);
    all.push(Comparison::of_service(
        "a service on tokio's default runtime",
        || Ok(service::app_of_the_docs()),
        Runtime::MultiThread,
        goals,
        cpus,
    )?);
    all.push(Comparison::of_service(
        "a service of one route",
        || Ok(server::one_route()),
        Runtime::CurrentThread,
        goals,
        cpus,
    )?);
    // Its query does no work, so that the library is a large part of the little that a request does: no goal. The
    // goal of a service with a query is that of `postgresql`.
    let title = "a service with a short query";
    all.push(Comparison::of_service(
        title,
        service::short_query,
        Runtime::CurrentThread,
        None,
        cpus,
    )?);
    Ok(all)
}

impl Comparison {
    /// The library in a service that is not the lab's; `goals` are those of the states, and of all of its accounting.
    pub(crate) fn of_service(
        title: &str,
        app: impl Fn() -> anyhow::Result<Router>,
        runtime: Runtime,
        goals: Option<[f64; 2]>,
        cpus: &Cpus,
    ) -> anyhow::Result<Self> {
        let servers = [Accounting::Off, Accounting::States, Accounting::Requests]
            .map(|accounting| service::start(app()?, runtime, accounting, cpus));
        let claim = |server| Claim {
            server,
            other: 0,
            at_most: goals.map(|goals| goals[server - 1]),
        };
        Ok(Self {
            title: format!("{title}, keep-alive, saturation"),
            servers: servers.into_iter().collect::<anyhow::Result<_>>()?,
            connections: Connections::Kept,
            rate: Rate::Saturation,
            claims: [1, 2].map(claim).into(),
        })
    }

    fn of_gateways(
        flavor: Flavor,
        connections: Connections,
        rate: Rate,
        cpus: &Cpus,
    ) -> anyhow::Result<Self> {
        const OFF: usize = 0;
        const STATES: usize = 1;
        const REQUESTS: usize = 2;
        let mut servers = [Accounting::Off, Accounting::States, Accounting::Requests]
            .map(|accounting| server::gateway(flavor, connections, accounting, cpus))
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?;
        let saturated = rate == Rate::Saturation;
        let claim = |server, other, at_most| Claim {
            server,
            other,
            at_most,
        };
        let mut claims = vec![
            claim(STATES, OFF, saturated.then_some(1.01)),
            claim(REQUESTS, OFF, saturated.then_some(1.03)),
        ];
        if saturated {
            let (axum, hyper) = match (flavor, connections) {
                (Flavor::Async, Connections::Kept) => (Some(1.02), Some(1.1)),
                (Flavor::Async, Connections::PerRequest) => (Some(1.02), None),
                (Flavor::Sync, Connections::Kept) => (None, None),
                (Flavor::Sync, Connections::PerRequest) => (Some(0.7), None),
            };
            let bare = match (flavor, connections) {
                // It has no event loop to wait for more than one connection.
                (Flavor::Sync, Connections::PerRequest) => {
                    vec![server::blocking_loop(cpus)?, server::corked_loop(cpus)?]
                }
                _ => vec![server::hyper(cpus)?],
            };
            let axum_servers = [
                server::axum_with_the_app(cpus)?,
                server::axum_with_one_route(cpus)?,
            ];
            let others = axum_servers.into_iter().map(|server| (server, axum));
            for (other, at_most) in others.chain(bare.into_iter().map(|server| (server, hyper))) {
                claims.push(claim(REQUESTS, servers.len(), at_most));
                servers.push(other);
            }
        }
        Ok(Self {
            title: title(flavor, connections, rate),
            servers,
            connections,
            rate,
            claims,
        })
    }

    /// Gives each server this many turns.
    pub(crate) fn measure(&self, turns: usize, slice: Duration) -> anyhow::Result<Measured<'_>> {
        let client = |server: &Server| Client::new(server.address, self.connections, self.rate);
        let mut clients: Vec<_> = self.servers.iter().map(client).collect();
        let slice = match self.rate {
            Rate::Saturation => slice,
            Rate::PerSecond(_) => 4 * slice,
        };
        let mut measured = vec![Vec::new(); self.servers.len()];
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        // The first turn is a warm-up.
        for turn in 0..=turns {
            // In random order: a server whose turn follows that of a costlier one finds colder caches.
            fastrand::shuffle(&mut order);
            for &index in &order {
                let turn_result = measure(&self.servers[index], &mut clients[index], slice)?;
                if turn > 0 {
                    measured[index].push(turn_result);
                }
            }
        }
        Ok(Measured {
            comparison: self,
            turns: measured,
        })
    }
}

fn title(flavor: Flavor, connections: Connections, rate: Rate) -> String {
    let connections = match connections {
        Connections::Kept => "keep-alive",
        Connections::PerRequest => "a connection per request",
    };
    let rate = match rate {
        Rate::Saturation => "saturation".to_owned(),
        Rate::PerSecond(rate) => format!("{rate} requests/s"),
    };
    format!("{}, {connections}, {rate}", flavor.as_str())
}

/// The result of one turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Microseconds of CPU time per request.
    pub(crate) cpu: f64,
    /// Part of the wall time for which the server was on its CPU.
    busy: f64,
}

/// Gives a server one turn.
pub(crate) fn measure(
    server: &Server,
    client: &mut Client,
    slice: Duration,
) -> anyhow::Result<Turn> {
    let (before, begun) = (server.cpu_time()?, Instant::now());
    let responses = client.send_for(slice)?;
    let wall = begun.elapsed();
    thread::sleep(SETTLE);
    let cpu = server.cpu_time()? - before;
    Ok(Turn {
        cpu: per_response(cpu, responses),
        busy: cpu.as_secs_f64() / wall.as_secs_f64(),
    })
}

/// The results of all servers' turns.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    comparison: &'a Comparison,
    turns: Vec<Vec<Turn>>,
}

impl Measured<'_> {
    /// Writes two tables in Markdown: the servers, and the claims.
    pub(crate) fn write(&self, goals: &mut Goals, out: &mut dyn Write) -> io::Result<()> {
        let Comparison {
            title,
            servers,
            claims,
            ..
        } = self.comparison;
        writeln!(
            out,
            "## {title}\n\n| server | CPU µs/request | busy |\n|---|--:|--:|"
        )?;
        for (server, turns) in servers.iter().zip(&self.turns) {
            let [_, cpu, _] = quartiles(turns.iter().map(|turn| turn.cpu));
            let [_, busy, _] = quartiles(turns.iter().map(|turn| turn.busy));
            writeln!(
                out,
                "| {} | {cpu:.2} | {:.0} % |",
                server.name,
                busy * 100.0
            )?;
        }
        writeln!(
            out,
            "\n| ratio | median (quartiles) | goal | |\n|---|--:|--:|---|"
        )?;
        for claim in claims {
            self.write_claim(*claim, goals, out)?;
        }
        writeln!(out)
    }

    fn write_claim(&self, claim: Claim, goals: &mut Goals, out: &mut dyn Write) -> io::Result<()> {
        let Claim {
            server,
            other,
            at_most,
        } = claim;
        // Paired by round: the turns of one round were close in time, so a disturbance is likely to have met both.
        let pairs = self.turns[server].iter().zip(&self.turns[other]);
        let [low, median, high] = quartiles(pairs.map(|(one, other)| one.cpu / other.cpu));
        let Comparison { title, servers, .. } = self.comparison;
        let ratio = format!("{} / {}", servers[server].name, servers[other].name);
        let goal = goals.check(&format!("{title}: {ratio}"), median, at_most);
        writeln!(
            out,
            "| {ratio} | {median:.3} ({low:.3} to {high:.3}) | {goal} |"
        )
    }
}

/// The three quartiles of some values; NaN without values.
pub(crate) fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |quarter: usize| {
        sorted
            .get(quarter * sorted.len() / 4)
            .copied()
            .unwrap_or(f64::NAN)
    };
    [at(1), at(2), at(3)]
}
