//! Commands and flags, one file per command. Each flag has an environment variable.
//!
//! Defaults come from the configuration types that the commands fill in.

mod database_args;
mod defaults;
mod experiment;
mod guess;
mod health;
mod metrics_args;
mod output;
mod serve;
mod up;
mod value;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Shows where the time of server threads goes: running, or waiting, and how.
///
/// Without a command: `up`.
#[derive(Debug, Parser)]
#[command(name = "threadlab", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::Up,
    /// Log filter for stderr: a level (off, error, warn, info, debug, trace), or TARGET=LEVEL for parts, separated by
    /// commas
    #[arg(
        long,
        global = true,
        env = "THREADLAB_LOG",
        default_value = "info",
        value_name = "FILTER",
        value_parser = value::log_filter
    )]
    log: Targets,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole lab in one process: both servers, the front with the live page, the metrics
    Up(up::Up),
    /// Runs one server
    Serve(serve::Serve),
    /// Runs experiments on a lab: each predicts a result, then measures it
    Experiment(experiment::ExperimentArgs),
    /// Shows the thread states of any server from outside, without changing it (Linux)
    Watch(watch::WatchCommand),
    /// Exits with 0 if a URL returns 200, else with 1; for container health checks
    Health {
        /// URL to request, plain HTTP, e.g. <http://127.0.0.1:9100/readyz>
        url: http::Uri,
    },
}

/// Runs the command.
///
/// # Errors
///
/// When the command failed; the message is meant for the user.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(output::in_color(&io::stderr()));
    tracing_subscriber::registry()
        .with(lines.with_filter(cli.log))
        .init();
    match cli.command.unwrap_or(Command::Up(cli.up)) {
        Command::Up(up) => up.run(),
        Command::Serve(serve) => serve.run(),
        Command::Experiment(experiment) => experiment::run(experiment),
        Command::Watch(command) => watch::run(command),
        Command::Health { url } => health::check(&url),
    }
}

#[cfg(test)]
mod documented_commands;
#[cfg(test)]
mod tests;
