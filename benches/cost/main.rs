//! Cost of the accounting, and of the gateways compared with other servers: `make bench`.
//!
//! The servers are threads of this process, pinned to one CPU; the load generator has another.
//! They are measured in turns of some milliseconds each, so that other load on the machine affects all of them alike,
//! and the medians over many turns are compared.
//!
//! * `server`: the servers under test
//! * `service`: services that are not the lab's, with the library
//! * `postgresql`: such a service with a query of PostgreSQL
//! * `load`: the load generator
//! * `hold`: a thread that takes the CPU of the servers, so that requests queue
//! * `comparison`: servers under one load, in turns, and the goals of their ratios
//! * `goal`: goals, and the verdicts on them
//! * `behind_nginx`: servers behind nginx, and nginx
//! * `originals`: the gateways and the article's programs in Python
//! * `program`: a server in processes of its own
//! * `parts`: the cost of each part of a request
//! * `scrape`: the cost of a scrape
//! * `sweep`: a server with more and more threads, waits and requests
//! * `cpu`: CPUs to pin to, and the CPU time of a thread

mod behind_nginx;
mod comparison;
mod cpu;
mod goal;
mod hold;
mod load;
mod originals;
mod parts;
mod postgresql;
mod program;
mod scrape;
mod server;
mod service;
mod sweep;

#[allow(clippy::unwrap_used, reason = "it is for tests")]
#[path = "../../tests/common/address.rs"]
mod address;
#[allow(clippy::unwrap_used, reason = "it is for tests")]
#[path = "../../tests/common/crowd.rs"]
mod crowd;
#[allow(clippy::unwrap_used, reason = "it is for tests")]
#[path = "../../tests/common/lab.rs"]
mod lab;
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "it is for tests")]
#[expect(dead_code, reason = "tests do more with it")]
#[path = "../../tests/common/postgres.rs"]
mod postgres;

use std::env;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::cpu::Cpus;
use crate::goal::Goals;
use crate::scrape::Scrape;
use crate::sweep::Sweep;

/// Measures the CPU time per request of the gateways and their accounting, and what a scrape costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure only what has this text in its title
    title: Option<String>,
    /// Number of turns of each server, and of scrapes, over which the medians are taken
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Milliseconds of a turn at saturation; a turn at a given rate takes four times as long
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    slice: u64,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// The brief run as a test: its name in the list for test runners.
const BRIEF_RUN: &str = "brief_run";

impl Arguments {
    /// Returns the arguments of `cargo bench`, or a brief run of everything for a test runner, whose flags are for
    /// the standard test harness.
    fn given() -> Self {
        let arguments: Vec<String> = env::args().collect();
        if arguments.iter().any(|argument| argument == "--bench") {
            return Self::parse_from(arguments);
        }
        let mut names = arguments.into_iter().skip(1);
        Self {
            title: names.find(|argument| !argument.starts_with('-') && argument != BRIEF_RUN),
            turns: 2,
            slice: 5,
            bench: false,
        }
    }
}

/// Lists the tests for a runner that starts each by its name, such as nextest. Returns false if there was no such
/// request.
fn list_tests(out: &mut dyn Write) -> io::Result<bool> {
    let given = |flag: &str| env::args().any(|argument| argument == flag);
    if given("--list") && !given("--ignored") {
        writeln!(out, "{BRIEF_RUN}: test")?;
    }
    Ok(given("--list"))
}

fn main() -> anyhow::Result<()> {
    let out = &mut io::stdout().lock();
    if list_tests(out)? {
        return Ok(());
    }
    let arguments = Arguments::given();
    let turns = arguments.turns as usize;
    let slice = Duration::from_millis(arguments.slice);
    let wanted = |title: &str| {
        arguments
            .title
            .as_deref()
            .is_none_or(|part| title.contains(part))
    };
    if !arguments.bench {
        writeln!(
            out,
            "A brief run, whose numbers mean little. `make bench` measures."
        )?;
    }
    cpu::describe(out)?;
    let cpus = Cpus::of_this_process().context("the process's CPUs are unknown")?;
    cpus.pin_load()
        .context("could not pin the load generator")?;
    let mut goals = Goals::default();
    for comparison in comparison::all(&cpus)? {
        if wanted(&comparison.title) {
            comparison.measure(turns, slice)?.write(&mut goals, out)?;
        }
    }
    if wanted(postgresql::TITLE) {
        postgresql::measure(turns, slice, &cpus, &mut goals, out)?;
    }
    if wanted(behind_nginx::TITLE) {
        behind_nginx::measure(turns, slice, &cpus, &mut goals, out)?;
    }
    if wanted(originals::TITLE) {
        originals::measure(turns, slice, &cpus, &mut goals, out)?;
    }
    if wanted(parts::TITLE) {
        parts::measure(turns, out)?;
    }
    for scrape in SCRAPES {
        if wanted(&scrape.title()) {
            scrape.measure(turns, &cpus, &mut goals, out)?;
        }
    }
    if wanted(sweep::TITLE) {
        let (rows, scrapes, window) = match arguments.bench {
            true => (usize::MAX, 30, Duration::from_secs(3)),
            false => (2, 2, Duration::from_millis(20)),
        };
        let sweep = Sweep {
            rows,
            scrapes,
            window,
        };
        sweep.measure(&mut goals, out)?;
    }
    goals.write(out)?;
    Ok(())
}

const SCRAPES: [Scrape; 3] = [
    Scrape {
        threads: 1_000,
        viewers: 0,
        at_most: Some(3.0),
    },
    Scrape {
        threads: 64,
        viewers: 0,
        at_most: None,
    },
    Scrape {
        threads: 64,
        viewers: 100,
        at_most: None,
    },
];
