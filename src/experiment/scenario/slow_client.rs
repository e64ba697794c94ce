//! Clients that send their request slowly.

use std::io;
use std::time::{Duration, Instant};

use futures_util::future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::definition::{Experiment, GuessQuestion};
use super::held::{Hold, judge_free, judge_held};
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::waits::short_wait;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "slow-client",
    question: "What does the web server in front protect against?",
    model: "A synchronous thread reads the request that it accepted, however slowly it arrives, so a client that sends \
            one byte per second holds it. The front is an event loop: it collects the slow request and connects to \
            the server only when it has the complete header.",
    guesses: &[
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "latency of /dummy",
            conditions: "direct",
            text: |wait| {
                format!(
                    "{CLIENTS} clients take {:.1} s to send their requests directly to the synchronous server. After how many seconds does it respond to /dummy?",
                    short_wait(wait).as_secs_f64()
                )
            },
        },
        GuessQuestion {
            server: Flavor::Sync,
            quantity: "latency of /dummy",
            conditions: "front",
            text: |_| "And if they send them through the front?".into(),
        },
    ],
    duration: |config| short_wait(config.wait) * 2,
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Number of slow clients.
const CLIENTS: usize = 3;
/// Bytes that they send slowly: one per second in an experiment of 5 s.
const SLOW_BYTES: u32 = 5;

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let hold = Hold::of(lab);
    let server = Flavor::Sync;
    for via in [Via::Direct, Via::Front] {
        lab.show_step(&format!(
            "{server}: slow clients, {}, then /dummy",
            via.as_str()
        ));
        let before = lab.scrape().await?;
        let start = Instant::now();
        let slow = future::join_all((0..CLIENTS).map(|_| send_slowly(lab, via, hold.time)));
        let dummy = lab.get_at(server, via, "/dummy", start + hold.pause);
        let (dummy, slow) = future::join(dummy, slow).await;
        let after = lab.wait_until_quiet().await?;
        let interval = hold.time / SLOW_BYTES;
        let load = format!(
            "{CLIENTS} clients, one byte every {:.1} s, then /dummy",
            interval.as_secs_f64()
        );
        let setting = lab.setting(server, via, after.threads(server), hold.time, load);
        let spent = after.states(server).since(&before.states(server));
        judge_slow_clients(run, &setting, slow);
        match via {
            Via::Direct => judge_held(run, &setting, hold, &dummy, &spent),
            Via::Front => judge_free(run, &setting, hold, &dummy, &spent),
        }
    }
    Ok(())
}

/// Takes `time` for the first bytes of a request, then sends the rest. Returns the response.
async fn send_slowly(lab: &LabClient, via: Via, time: Duration) -> io::Result<String> {
    let (address, host) = lab.address(Flavor::Sync, via);
    let prefix = match via {
        Via::Front => "/sync",
        Via::Direct => "",
    };
    let request =
        format!("GET {prefix}/dummy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let (slow, rest) = request.as_bytes().split_at(SLOW_BYTES as usize);
    lab.count_sent(Flavor::Sync, Duration::ZERO);
    let mut stream = TcpStream::connect(address).await?;
    for byte in slow {
        stream.write_all(&[*byte]).await?;
        sleep(time / SLOW_BYTES).await;
    }
    stream.write_all(rest).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

/// Checks that no slow client was rejected: a rejected client did not hold the thread for the whole time.
fn judge_slow_clients(run: &mut Run, setting: &Setting, slow: Vec<io::Result<String>>) {
    let (mut succeeded, mut rejected) = (0, Vec::new());
    for client in slow {
        match client {
            Ok(response) if response.starts_with("HTTP/1.1 200 ") => succeeded += 1,
            Ok(response) => {
                let status = response.lines().next().unwrap_or("nothing");
                rejected.push(format!("a slow client received: {status}"));
            }
            Err(error) => rejected.push(format!("a slow client got no response: {error}")),
        }
    }
    run.judge(
        setting,
        Prediction::between(
            "slow clients with a response",
            Unit::Count,
            CLIENTS as f64,
            CLIENTS as f64,
            "all: they finish within the limits for a request header, which are 10 s (servers) and 60 s (front)",
        ),
        f64::from(succeeded),
    );
    for remark in rejected {
        run.note_rows(run.findings.len(), remark);
    }
}
