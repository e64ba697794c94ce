//! The `threadlab` command.

use std::io::Write;
use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    use threadlab::cli;

    cli::run(cli::parse()).unwrap_or_else(|error| fail(&format!("{error:#}")))
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    fail("the lab needs Linux or macOS; here its containers run: docker compose up --build --wait")
}

fn fail(why: &str) -> ExitCode {
    // Without stderr there is nowhere left to report to.
    let _ = writeln!(std::io::stderr(), "threadlab: {why}");
    ExitCode::FAILURE
}
