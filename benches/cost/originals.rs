//! The article's programs in Python, as Compose runs them, beside the gateways: the CPU time of their processes.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use threadlab::flavor::Flavor;

use crate::address::free_address;
use crate::comparison::{SETTLE, quartiles};
use crate::cpu::{Cpus, per_response};
use crate::goal::Goals;
use crate::load::{Client, Connections, Rate};
use crate::program::Program;
use crate::server::{self, Accounting, Server};

pub(crate) const TITLE: &str = "the article's programs";

/// A program and the gateway that stands for it in the lab.
struct Pair {
    title: &'static str,
    program: Program,
    program_client: Client,
    gateway: Server,
    gateway_client: Client,
    /// Goal: CPU time of the program, in that of the gateway.
    at_least: f64,
}

/// Microseconds of CPU time per request.
#[derive(Debug, Clone, Copy)]
struct Turn {
    program: f64,
    gateway: f64,
}

/// Gives the two servers of each pair this many turns, one after the other, and writes a table in Markdown.
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
        "| servers | gateway, µs | program, µs | times (quartiles) | goal | |\n|---|--:|--:|--:|--:|---|"
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
        let gateway = server::gateway(flavor, connections, Accounting::Requests, cpus)?;
        let client = |address| Client::new(address, connections, Rate::Saturation);
        Ok(Some(Self {
            title,
            program,
            program_client: client(address),
            gateway_client: client(gateway.address),
            gateway,
            at_least,
        }))
    }

    fn turn(&mut self, slice: Duration) -> anyhow::Result<Turn> {
        let before = self.program.cpu_time()?;
        // An interpreter needs longer for as many requests.
        let responses = self.program_client.send_for(4 * slice)?;
        thread::sleep(SETTLE);
        let program = per_response(self.program.cpu_time()? - before, responses);
        let before = self.gateway.cpu_time()?;
        let responses = self.gateway_client.send_for(slice)?;
        thread::sleep(SETTLE);
        let gateway = per_response(self.gateway.cpu_time()? - before, responses);
        Ok(Turn { program, gateway })
    }
}

fn write(pair: &Pair, turns: &[Turn], goals: &mut Goals, out: &mut dyn Write) -> io::Result<()> {
    let median = |value: fn(&Turn) -> f64| quartiles(turns.iter().map(value))[1];
    let (gateway, program) = (median(|turn| turn.gateway), median(|turn| turn.program));
    let [low, ratio, high] = quartiles(turns.iter().map(|turn| turn.program / turn.gateway));
    let goal = goals.check_at_least(pair.title, ratio, pair.at_least);
    writeln!(
        out,
        "| {} | {gateway:.1} | {program:.0} | {ratio:.1} ({low:.1} to {high:.1}) | {goal} |",
        pair.title
    )
}
