//! Idle connections.

use std::time::{Duration, Instant};

use futures_util::future;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::definition::{Experiment, GuessQuestion};
use super::held::{Hold, judge_free, judge_held};
use crate::experiment::attempt::Attempt;
use crate::experiment::client::{self, RequestError};
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::plural::plural;
use crate::experiment::report::{Prediction, Run, Unit};
use crate::experiment::waits::short_wait;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "keepalive",
    question: "Who owns an idle connection?",
    model: "To an event loop an idle connection is one entry in a table. A synchronous thread serves one connection \
            until it closes. So it closes each after the response, and a silent connection holds the thread. The front \
            keeps silent connections itself and opens one to the server only for a request.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "connections kept open",
            conditions: "",
            text: |_| {
                format!(
                    "{MANY} connections carry one request each. How many of them does the synchronous server keep open?"
                )
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "connections kept open",
            conditions: "",
            text: |_| "And the asynchronous server?".into(),
        },
    ],
    duration: |config| short_wait(config.wait) * 3 + Duration::from_millis(500),
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Number of connections to keep, and of silent connections where one should make no difference.
const MANY: usize = 20;

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let hold = Hold::of(lab);
    for server in Flavor::ALL {
        lab.show_step(&format!("{server}: connections kept after a response"));
        keep(lab, run, server).await?;
    }
    for (server, via, silent) in [
        (Flavor::Sync, Via::Direct, 1),
        (Flavor::Async, Via::Direct, MANY),
        (Flavor::Sync, Via::Front, MANY),
    ] {
        lab.show_step(&format!("{server}: silent connections"));
        let before = lab.scrape().await?;
        let dummy = dummy_beside_silence(lab, server, via, silent, hold).await?;
        let after = lab.wait_until_quiet().await?;
        let load = format!("{}, then /dummy", plural(silent, "silent connection"));
        let setting = lab.setting(server, via, after.threads(server), hold.time, load);
        let spent = after.states(server).since(&before.states(server));
        match (server, via) {
            (Flavor::Sync, Via::Direct) => judge_held(run, &setting, hold, &dummy, &spent),
            _ => judge_free(run, &setting, hold, &dummy, &spent),
        }
    }
    Ok(())
}

/// Counts the connections that a server keeps open after the response.
async fn keep(lab: &LabClient, run: &mut Run, server: Flavor) -> Result<(), Error> {
    let (address, host) = lab.address(server, Via::Direct);
    let send = || {
        lab.count_sent(server, Duration::ZERO);
        client::get_and_keep(address, host, "/dummy")
    };
    let kept = future::try_join_all((0..MANY).map(|_| send())).await;
    let kept = kept.map_err(|error| unreachable(server, host, error))?;
    // Time for a FIN to arrive.
    sleep(Duration::from_millis(200)).await;
    let open = kept
        .iter()
        .filter(|connection| connection.is_open())
        .count();
    let threads = lab.scrape().await?.threads(server);
    let setting = lab.setting(
        server,
        Via::Direct,
        threads,
        Duration::ZERO,
        format!("/dummy on {MANY} connections"),
    );
    let expected = match server {
        Flavor::Sync => 0.0,
        Flavor::Async => MANY as f64,
    };
    run.judge(
        &setting,
        Prediction::between(
            "connections kept open",
            Unit::Count,
            expected,
            expected,
            "all or none; this is a rule of the server and does not depend on timing",
        ),
        open as f64,
    );
    Ok(())
}

/// Sends `/dummy` on its own connection beside `silent` idle ones, which close after `hold.time`.
async fn dummy_beside_silence(
    lab: &LabClient,
    server: Flavor,
    via: Via,
    silent: usize,
    hold: Hold,
) -> Result<Attempt, Error> {
    let (address, host) = lab.address(server, via);
    let connections = future::try_join_all((0..silent).map(|_| TcpStream::connect(address))).await;
    let connections = connections.map_err(|error| unreachable(server, host, error.into()))?;
    let start = Instant::now();
    let (dummy, ()) = future::join(
        lab.get_at(server, via, "/dummy", start + hold.pause),
        async {
            sleep(hold.time).await;
            drop(connections);
        },
    )
    .await;
    Ok(dummy)
}

fn unreachable(server: Flavor, address: &str, error: RequestError) -> Error {
    match server {
        Flavor::Sync => Error::unreachable("the synchronous server", "--sync", address, error),
        Flavor::Async => Error::unreachable("the asynchronous server", "--async", address, error),
    }
}
