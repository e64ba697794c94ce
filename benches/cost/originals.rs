//! The article's programs in Python, as Compose runs them, beside the gateways: the CPU time of their processes. Beside
//! them the least that a gateway could take, without an app: the ratio to that bounds the ratio to the gateway.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use threadlab::flavor::Flavor;

use crate::address::free_address;
use crate::comparison::{self, SETTLE, quartiles};
use crate::cpu::{Cpus, per_response};
use crate::goal::Goals;
use crate::hold::Hold;
use crate::load::{Client, Connections, Rate};
use crate::program::Program;
use crate::server::{self, Accounting, Server};

pub(crate) const TITLE: &str = "the article's programs";

/// A program, the gateway that stands for it in the lab, and a bare server.
struct Pair {
    title: &'static str,
    program: Program,
    program_client: Client,
    gateway: (Server, Client),
    bare: (Server, Client),
    /// Goal: CPU time of the program, in that of the gateway.
    at_least: f64,
}

/// Microseconds of CPU time per request.
#[derive(Debug, Clone, Copy)]
struct Turn {
    program: f64,
    gateway: f64,
    bare: f64,
}

/// Gives the three servers of each pair this many turns, one after the other, and writes a table in Markdown.
pub(crate) fn measure(
    turns: usize,
    slice: Duration,
    cpus: &Cpus,
    goals: &mut Goals,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(out, "## {TITLE}\n")?;
    let (uvicorn, gunicorn) = (free_address(), free_address());
    let pairs = [
        Pair::start(
            "async and FastAPI on uvicorn, keep-alive",
            &mut command("fastapi", "uvicorn", uvicorn),
            uvicorn,
            (Flavor::Async, Connections::Kept),
            20.0,
            cpus,
        )?,
        Pair::start(
            "sync and Flask on gunicorn, a connection per request",
            &mut command("flask", "gunicorn", gunicorn),
            gunicorn,
            (Flavor::Sync, Connections::PerRequest),
            15.0,
            cpus,
        )?,
    ];
    let [Some(uvicorn), Some(gunicorn)] = pairs else {
        let packages = "the packages of originals/*/requirements.txt";
        writeln!(out, "Not measured: {packages} are not on the PATH.\n")?;
        return Ok(());
    };
    writeln!(
        out,
        "| servers | bare, µs | gateway, µs | program, µs | program / bare | program / gateway | goal | |\n\
         |---|--:|--:|--:|--:|--:|--:|---|"
    )?;
    for mut pair in [uvicorn, gunicorn] {
        // The first turn is a warm-up.
        let measured: Result<Vec<_>, _> = (0..=turns).map(|_| pair.turn(slice)).collect();
        write(&pair, &measured?[1..], goals, out)?;
    }
    writeln!(out)?;
    Ok(())
}

/// The command that serves an original with one process and one thread, without an access log.
fn command(directory: &str, server: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(server);
    command.current_dir(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("originals")
            .join(directory),
    );
    match server {
        "uvicorn" => {
            let (host, port) = (address.ip().to_string(), address.port().to_string());
            command.args(["app:app", "--host", &host, "--port", &port]);
            command.args(["--no-access-log", "--log-level", "error"]);
        }
        _ => {
            let bind = address.to_string();
            command.args(["app:app", "--bind", &bind, "--workers", "1"]);
            command.args(["--worker-class", "sync", "--log-level", "error"]);
        }
    }
    command
}

impl Pair {
    /// Starts both; `None` if the program is not installed.
    fn start(
        title: &'static str,
        command: &mut Command,
        address: SocketAddr,
        (flavor, connections): (Flavor, Connections),
        at_least: f64,
        cpus: &Cpus,
    ) -> anyhow::Result<Option<Self>> {
        let Some(program) = Program::start(command, address, cpus)? else {
            return Ok(None);
        };
        let client = |address| Client::new(address, connections, Rate::Saturation);
        // The program is slower than the load generator, and never sleeps. The servers would sleep before most requests.
        let queues = connections == Connections::PerRequest;
        let hold = queues.then(|| Hold::start(cpus)).transpose()?;
        let with_client = |server: Server| -> io::Result<_> {
            let client = client(server.address);
            let Some(hold) = &hold else {
                return Ok((server, client));
            };
            server.give_way()?;
            Ok((server, client.queueing(hold)))
        };
        let bare = match flavor {
            Flavor::Async => server::hyper(cpus)?,
            Flavor::Sync => server::corked_loop(cpus)?,
        };
        let gateway = server::gateway(flavor, connections, Accounting::Requests, cpus)?;
        Ok(Some(Self {
            title,
            program,
            program_client: client(address),
            gateway: with_client(gateway)?,
            bare: with_client(bare)?,
            at_least,
        }))
    }

    fn turn(&mut self, slice: Duration) -> anyhow::Result<Turn> {
        let before = self.program.cpu_time()?;
        // An interpreter needs longer for as many requests.
        let responses = self.program_client.send_for(4 * slice)?;
        thread::sleep(SETTLE);
        let program = per_response(self.program.cpu_time()? - before, responses);
        let turn_of = |(server, client): &mut (Server, Client)| {
            comparison::measure(server, client, slice).map(|turn| turn.cpu)
        };
        let gateway = turn_of(&mut self.gateway)?;
        let bare = turn_of(&mut self.bare)?;
        Ok(Turn {
            program,
            gateway,
            bare,
        })
    }
}

fn write(pair: &Pair, turns: &[Turn], goals: &mut Goals, out: &mut dyn Write) -> io::Result<()> {
    let quartiles = |value: fn(&Turn) -> f64| quartiles(turns.iter().map(value));
    let [_, bare, _] = quartiles(|turn| turn.bare);
    let [_, gateway, _] = quartiles(|turn| turn.gateway);
    let [_, program, _] = quartiles(|turn| turn.program);
    let of_bare = quartiles(|turn| turn.program / turn.bare);
    let of_gateway = quartiles(|turn| turn.program / turn.gateway);
    let goal = goals.check_at_least(pair.title, of_gateway[1], pair.at_least);
    let [of_bare, of_gateway] = [of_bare, of_gateway]
        .map(|[low, ratio, high]| format!("{ratio:.1} ({low:.1} to {high:.1})"));
    writeln!(
        out,
        "| {} | {bare:.1} | {gateway:.1} | {program:.0} | {of_bare} | {of_gateway} | {goal} |",
        pair.title
    )
}
