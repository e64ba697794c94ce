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

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
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

/// Parses the command line of this process. Prints help or an error, and exits, if there is nothing to run.
#[must_use]
pub fn parse() -> Cli {
    let matches = with_negative_values(Cli::command()).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Has a negative number after a flag be its value, so that the error says which values are allowed, and not that
/// a flag `-1` does not exist.
fn with_negative_values(command: clap::Command) -> clap::Command {
    let is_valued = |arg: &clap::Arg| !arg.is_positional() && arg.get_action().takes_values();
    let command = command.mut_args(|arg| match is_valued(&arg) {
        true => arg.allow_negative_numbers(true),
        false => arg,
    });
    command.mut_subcommands(with_negative_values)
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
