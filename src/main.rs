//! The command `threadlab`.

use std::io::Write;
use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    use clap::Parser;
    use threadlab::cli::{self, Cli};

    cli::run(Cli::parse()).unwrap_or_else(|error| fail(&format!("{error:#}")))
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    fail("the lab needs a Unix; its containers run here: docker compose up --build --wait")
}

fn fail(why: &str) -> ExitCode {
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "threadlab: {why}");
    ExitCode::FAILURE
}
