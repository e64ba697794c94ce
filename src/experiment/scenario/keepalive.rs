//! Connections on which nobody asks for anything.

use std::time::{Duration, Instant};

use futures_util::future;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Experiment;
use super::held::{Held, judge_free, judge_held};
use crate::experiment::client::{self, Failure};
use crate::experiment::lab::{Exchange, Lab, Via};
use crate::experiment::report::{Prediction, Run, Unit};
use crate::experiment::{Error, Server};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "keepalive",
    question: "Who owns an idle connection?",
    model: "To an event loop an idle connection is an entry in a table. A synchronous thread that accepted one has no \
            other until it closes: so it closes each after its answer, and one that stays silent holds the thread. \
            The front takes silent connections upon itself and opens one to the server only for a request.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Connections that are kept, and that are silent where it takes many to matter.
const MANY: usize = 20;

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let held = Held::of(lab);
    for server in Server::BOTH {
        lab.say(&format!("{server}: connections kept after an answer"));
        keep(lab, run, server).await?;
    }
    for (server, via, silent) in [
        (Server::Sync, Via::Direct, 1),
        (Server::Async, Via::Direct, MANY),
        (Server::Sync, Via::Front, MANY),
    ] {
        lab.say(&format!("{server}: silent connections"));
        let before = lab.scrape().await?;
        let dummy = ask_beside_silence(lab, server, via, silent, held).await?;
        let after = lab.quiet().await?;
        let plural = if silent == 1 { "" } else { "s" };
        let load = format!("{silent} silent connection{plural}, then /dummy");
        let setting = lab.setting(server, via, after.threads(server), held.time, load);
        let spent = after.states(server).since(&before.states(server));
        match (server, via) {
            (Server::Sync, Via::Direct) => judge_held(run, &setting, held, &dummy, &spent),
            _ => judge_free(run, &setting, held, &dummy, &spent),
        }
    }
    Ok(())
}

/// How many connections a gateway leaves open after an answer.
async fn keep(lab: &Lab, run: &mut Run, server: Server) -> Result<(), Error> {
    let (address, host) = lab.address(server, Via::Direct);
    let ask = || {
        lab.sent(Duration::ZERO);
        client::get_and_keep(address, host, "/dummy")
    };
    let kept = future::try_join_all((0..MANY).map(|_| ask())).await;
    let kept = kept.map_err(|failure| unreachable(server, host, failure))?;
    // Time for the news of a close to arrive.
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
        Server::Sync => 0.0,
        Server::Async => MANY as f64,
    };
    run.judge(
        &setting,
        Prediction::between(
            "connections kept open",
            Unit::Count,
            expected,
            expected,
            "all or none: it is a rule of the gateway, not a matter of speed",
        ),
        open as f64,
    );
    Ok(())
}

/// `/dummy` on a connection of its own beside `silent` ones, which close after the time.
async fn ask_beside_silence(
    lab: &Lab,
    server: Server,
    via: Via,
    silent: usize,
    held: Held,
) -> Result<Exchange, Error> {
    let (address, host) = lab.address(server, via);
    let connections = future::try_join_all((0..silent).map(|_| TcpStream::connect(address))).await;
    let connections = connections.map_err(|error| unreachable(server, host, error.into()))?;
    let start = Instant::now();
    let (dummy, ()) = future::join(
        lab.get_at(server, via, "/dummy", start + held.pause),
        async {
            sleep(held.time).await;
            drop(connections);
        },
    )
    .await;
    Ok(dummy)
}

fn unreachable(server: Server, address: &str, failure: Failure) -> Error {
    match server {
        Server::Sync => Error::unreachable("the synchronous server", "--sync", address, failure),
        Server::Async => Error::unreachable("the asynchronous server", "--async", address, failure),
    }
}
