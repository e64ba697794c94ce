//! Clients that send a byte now and then.

use std::io;
use std::time::{Duration, Instant};

use futures_util::future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Experiment;
use super::held::{Held, judge_free, judge_held};
use crate::experiment::lab::{Lab, Via};
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::{Error, Server};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "slow-client",
    question: "What does the web server in front protect?",
    model: "A synchronous thread reads the request that it accepted, however slowly it comes, so clients that send a \
            byte a second hold it. The front is an event loop: it collects the slow request and opens a connection \
            to the server when it has the whole head.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// Slow clients at once.
const CLIENTS: usize = 3;
/// Bytes that they send slowly; a byte a second where the experiment lasts 5 s.
const SLOW_BYTES: u32 = 5;

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let held = Held::of(lab);
    let server = Server::Sync;
    for via in [Via::Direct, Via::Front] {
        lab.say(&format!("{server}: slow clients ({via:?}), then /dummy"));
        let before = lab.scrape().await?;
        let start = Instant::now();
        let crowd = future::join_all((0..CLIENTS).map(|_| crawl(lab, via, held.time)));
        let dummy = lab.get_at(server, via, "/dummy", start + held.pause);
        let (dummy, crowd) = future::join(dummy, crowd).await;
        let after = lab.quiet().await?;
        let interval = held.time / SLOW_BYTES;
        let load = format!(
            "{CLIENTS} clients, a byte every {:.1} s, then /dummy",
            interval.as_secs_f64()
        );
        let setting = lab.setting(server, via, after.threads(server), held.time, load);
        let spent = after.states(server).since(&before.states(server));
        judge_crowd(run, &setting, crowd);
        match via {
            Via::Direct => judge_held(run, &setting, held, &dummy, &spent),
            Via::Front => judge_free(run, &setting, held, &dummy, &spent),
        }
    }
    Ok(())
}

/// A client that takes `time` for the first bytes of its request and then sends the rest. Returns
/// its answer.
async fn crawl(lab: &Lab, via: Via, time: Duration) -> io::Result<String> {
    let (address, host) = lab.address(Server::Sync, via);
    let prefix = match via {
        Via::Front => "/sync",
        Via::Direct => "",
    };
    let request =
        format!("GET {prefix}/dummy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let (slow, rest) = request.as_bytes().split_at(SLOW_BYTES as usize);
    lab.sent(Duration::ZERO);
    let mut stream = TcpStream::connect(address).await?;
    for byte in slow {
        stream.write_all(&[*byte]).await?;
        sleep(time / SLOW_BYTES).await;
    }
    stream.write_all(rest).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A client that was sent away was not in the way for the whole time.
fn judge_crowd(run: &mut Run, setting: &Setting, crowd: Vec<io::Result<String>>) {
    let mut answered = 0;
    for client in crowd {
        match client {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => answered += 1,
            Ok(answer) => {
                let status = answer.lines().next().unwrap_or("nothing");
                run.notes
                    .push(format!("a slow client was answered: {status}"));
            }
            Err(error) => run
                .notes
                .push(format!("a slow client had no answer: {error}")),
        }
    }
    run.judge(
        setting,
        Prediction::between(
            "slow clients answered",
            Unit::Count,
            CLIENTS as f64,
            CLIENTS as f64,
            "each in the end: the servers send away who takes 10 s for a request's head, the front who takes 60 s",
        ),
        f64::from(answered),
    );
}
