//! Commands and flags. Every flag has an environment variable.

mod experiment;
mod health;

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::flavor::Flavor;
use crate::gateway::Limits;
use crate::live::Link;
use crate::serve::{self, Address, Addresses, Settings, raise_file_limit};

/// A lab that shows where a server thread's time goes: busy, or waiting, and in which way.
///
/// Without a command: `up`.
#[derive(Debug, Parser)]
#[command(name = "threadlab", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: Up,
    /// What to log on stderr: a level (error, warn, info, debug, trace) or a tracing filter
    #[arg(
        long,
        global = true,
        env = "THREADLAB_LOG",
        default_value = "info",
        value_name = "FILTER",
        value_parser = filter
    )]
    log: EnvFilter,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole lab in this process: both servers, the front with the live page, metrics
    Up(Up),
    /// Runs one server
    Serve(Serve),
    /// Runs experiments against a lab: a prediction each, and what is seen
    Experiment(experiment::Experiment),
    /// Exits with 0 if a URL answers 200, else with 1: the containers' health check
    Health {
        /// Plain HTTP, e.g. <http://127.0.0.1:9100/readyz>
        url: http::Uri,
    },
}

#[derive(Debug, Clone, Args)]
struct Up {
    /// Where the front listens
    #[arg(
        long,
        env = "THREADLAB_FRONT",
        default_value = "127.0.0.1:8080",
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    front: String,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    common: Common,
}

/// The two servers of a lab: where `up` starts them, `experiment` looks for them.
#[derive(Debug, Clone, Args)]
struct Servers {
    /// The synchronous server's own address
    #[arg(
        long,
        env = "THREADLAB_SYNC",
        default_value = "127.0.0.1:8001",
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    sync: String,
    /// The asynchronous server's own address
    #[arg(
        long,
        env = "THREADLAB_ASYNC",
        default_value = "127.0.0.1:8002",
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    r#async: String,
}

#[derive(Debug, Clone, Args)]
struct Serve {
    /// Execution model of the server
    flavor: Flavor,
    /// Where the server listens
    #[arg(
        long,
        env = "THREADLAB_LISTEN",
        default_value = "127.0.0.1:8000",
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    listen: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Args)]
struct Common {
    /// Where the metrics are: /metrics, /healthz, /readyz, /threads, /threads/stream; and where a
    /// runner says which experiment runs: POST /experiments/NAME
    #[arg(
        long,
        env = "THREADLAB_METRICS",
        default_value = "127.0.0.1:9100",
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    metrics: String,
    /// Threads of each server
    #[arg(long, env = "THREADLAB_THREADS", default_value = "1", value_name = "N", value_parser = threads)]
    threads: NonZeroUsize,
    /// Connections that the kernel holds for each listening socket until a thread accepts them
    #[arg(long, env = "THREADLAB_BACKLOG", default_value = "1024", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    backlog: u16,
    /// Requests that the asynchronous server takes at once; those above it get a 503
    #[arg(long, env = "THREADLAB_MAX_IN_FLIGHT", default_value = "20000", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    max_in_flight: u64,
    /// Bytes of a request's first line and headers; more is answered with 431
    #[arg(long, env = "THREADLAB_MAX_HEAD_BYTES", default_value = "32768", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(8192..=1_048_576))]
    max_head_bytes: u32,
    /// Bytes of a request's body; more is answered with 413
    #[arg(
        long,
        env = "THREADLAB_MAX_BODY_BYTES",
        default_value = "1048576",
        value_name = "BYTES"
    )]
    max_body_bytes: u64,
    /// Seconds in which a client must have sent a request's head, and again its body
    #[arg(long, env = "THREADLAB_READ_TIMEOUT", default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    read_timeout: Duration,
    /// Seconds for which a client may leave an answer unread
    #[arg(long, env = "THREADLAB_WRITE_TIMEOUT", default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    write_timeout: Duration,
    /// Seconds for which the asynchronous server keeps a connection open between two requests
    #[arg(long, env = "THREADLAB_IDLE_TIMEOUT", default_value = "75", value_name = "SECONDS", value_parser = seconds)]
    idle_timeout: Duration,
    /// Other pages that the live page leads to, separated by commas
    #[arg(
        long,
        env = "THREADLAB_LINKS",
        value_name = "NAME=URL",
        value_delimiter = ','
    )]
    links: Vec<Link>,
    /// Seconds in which requests in flight may finish after SIGTERM or Ctrl-C
    #[arg(long, env = "THREADLAB_GRACE", default_value = "30", value_name = "SECONDS", value_parser = grace)]
    grace: Duration,
}

/// `EnvFilter`'s own way from a string ignores what it does not understand.
fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| error.to_string())
}

fn host_and_port(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty()).then_some(port));
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("HOST:PORT is allowed, e.g. 127.0.0.1:8000, with a port from 0 to 65535".into()),
    }
}

const MAX_THREADS: usize = 4096;
const DAY: f64 = 86_400.0;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text
        .parse()
        .ok()
        .filter(|threads: &NonZeroUsize| threads.get() <= MAX_THREADS);
    threads.ok_or_else(|| format!("a whole number from 1 to {MAX_THREADS} is allowed"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.001..=DAY).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("seconds from 0.001 to {DAY} are allowed"))
}

fn grace(text: &str) -> Result<Duration, String> {
    if text.parse() == Ok(0.0) {
        Ok(Duration::ZERO)
    } else {
        seconds(text)
    }
}

/// Whether to write in colour: to a terminal, unless its user wants none (<https://no-color.org>).
fn in_colour(output: &impl IsTerminal) -> bool {
    output.is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Does what the command line says.
///
/// # Errors
///
/// Whatever kept the command from being done, for a person to read.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(cli.log)
        .with_writer(io::stderr)
        .with_ansi(in_colour(&io::stderr()))
        .init();
    match cli.command.unwrap_or(Command::Up(cli.up)) {
        Command::Up(up) => serve::up(&up.addresses(), &up.common.settings()),
        Command::Serve(serve) => {
            let listen = address(&serve.listen, "--listen", "THREADLAB_LISTEN");
            serve::serve(
                serve.flavor,
                &listen,
                &serve.common.metrics(),
                &serve.common.settings(),
            )
        }
        Command::Experiment(experiment) => experiment::run(experiment),
        Command::Health { url } => health::check(url),
    }
}

impl Up {
    fn addresses(&self) -> Addresses {
        Addresses {
            front: address(&self.front, "--front", "THREADLAB_FRONT"),
            sync: address(&self.servers.sync, "--sync", "THREADLAB_SYNC"),
            r#async: address(&self.servers.r#async, "--async", "THREADLAB_ASYNC"),
            metrics: self.common.metrics(),
        }
    }
}

impl Common {
    fn metrics(&self) -> Address {
        address(&self.metrics, "--metrics", "THREADLAB_METRICS")
    }

    fn settings(&self) -> Settings {
        Settings {
            threads: self.threads,
            backlog: self.backlog,
            max_in_flight: self.max_in_flight,
            limits: Limits {
                max_head_bytes: self.max_head_bytes as usize,
                read_timeout: self.read_timeout,
                write_timeout: self.write_timeout,
                idle_timeout: self.idle_timeout,
            },
            max_body_bytes: self.max_body_bytes,
            links: self.links.clone(),
            grace: self.grace,
        }
    }
}

fn address(text: &str, flag: &'static str, variable: &'static str) -> Address {
    Address {
        text: text.to_owned(),
        flag,
        variable,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_environment_variable() {
        let command = Cli::command();
        let commands = command.get_subcommands().chain([&command]);
        for argument in commands.flat_map(|command| command.get_arguments()) {
            let Some(flag) = argument
                .get_long()
                .filter(|long| !["help", "version"].contains(long))
            else {
                continue;
            };
            let variable = format!("THREADLAB_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env(), Some(variable.as_ref()), "--{flag}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            "--threads=0",
            "--threads=4097",
            "--backlog=0",
            "--grace=-1",
            "--read-timeout=0",
            "--read-timeout=NaN",
            "--max-in-flight=0",
            "--max-head-bytes=10",
            "--front=nowhere",
            "--front=:80",
            "--front=127.0.0.1:65536",
            "--log=threadlab=loud",
        ] {
            assert!(Cli::try_parse_from(["threadlab", bad]).is_err(), "{bad}");
        }
        assert!(
            Cli::try_parse_from(["threadlab", "serve", "sync", "--grace=0", "--threads=4096"])
                .is_ok()
        );
    }
}
