//! The command `threadlab`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use threadlab::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse()).unwrap_or_else(|error| {
        // With stderr gone there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "threadlab: {error:#}");
        ExitCode::FAILURE
    })
}
