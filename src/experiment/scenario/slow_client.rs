//! Clients that send a byte now and then.

use std::time::{Duration, Instant};

use futures_util::future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Experiment;
use super::held::{Held, judge_free, judge_held};
use crate::experiment::lab::{Lab, Via};
use crate::experiment::report::Run;
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
        let (dummy, ()) = future::join(
            lab.get_at(server, via, "/dummy", start + held.pause),
            async {
                future::join_all((0..CLIENTS).map(|_| crawl(lab, via, held.time))).await;
            },
        )
        .await;
        let after = lab.quiet().await?;
        let interval = held.time / SLOW_BYTES;
        let load = format!(
            "{CLIENTS} clients, a byte every {:.1} s, then /dummy",
            interval.as_secs_f64()
        );
        let setting = lab.setting(server, via, after.threads(server), held.time, load);
        let spent = after.states(server).since(&before.states(server));
        match via {
            Via::Direct => judge_held(run, &setting, held, &dummy, &spent),
            Via::Front => judge_free(run, &setting, held, &dummy, &spent),
        }
    }
    Ok(())
}

/// A client that takes `time` for the first bytes of its request and then sends the rest.
async fn crawl(lab: &Lab, via: Via, time: Duration) {
    let (address, host) = lab.address(Server::Sync, via);
    let prefix = match via {
        Via::Front => "/sync",
        Via::Direct => "",
    };
    let request =
        format!("GET {prefix}/dummy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let (slow, rest) = request.as_bytes().split_at(SLOW_BYTES as usize);
    lab.sent(Duration::ZERO);
    let sent = async {
        let mut stream = TcpStream::connect(address).await?;
        for byte in slow {
            stream.write_all(&[*byte]).await?;
            sleep(time / SLOW_BYTES).await;
        }
        stream.write_all(rest).await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    // A client that was sent away held no thread, which shows in the latency and the states.
    let _ = sent.await;
}
