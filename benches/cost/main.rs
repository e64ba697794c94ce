//! What the accounting costs, and what the gateways cost beside others: `make bench`.
//!
//! The servers are threads of this process, pinned to one CPU; the load generator has another.
//! They are measured in turns of some milliseconds each, so that whatever else the machine does
//! meets all of them alike, and the medians over many turns are compared.
//!
//! * `server`: everything that is measured
//! * `load`: the load generator
//! * `comparison`: which servers under which load, in turns, and what is to hold
//! * `parts`: where the time of a request goes
//! * `scrape`: the cost of a scrape
//! * `cpu`: CPUs to pin to, and the CPU time of a thread

mod comparison;
mod cpu;
mod load;
mod parts;
mod scrape;
mod server;

use std::env;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::cpu::Cpus;
use crate::scrape::Scrape;

/// Measures the CPU time per request of the gateways and their accounting, and what a scrape costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only what has this in its title
    title: Option<String>,
    /// Turns of each server, and scrapes; the medians are over these
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Milliseconds of a turn at saturation; at a given rate it is four times as long
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    slice: u64,
    /// As `cargo bench` says
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// Those of `cargo bench`; or a brief try of everything, or of what is named, for `cargo test`,
    /// whose flags are for tests that know them.
    fn given() -> Self {
        let arguments: Vec<String> = env::args().collect();
        if arguments.iter().any(|argument| argument == "--bench") {
            return Self::parse_from(arguments);
        }
        let mut names = arguments.into_iter().skip(1);
        Self {
            title: names.find(|argument| !argument.starts_with('-')),
            turns: 2,
            slice: 5,
            bench: false,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::given();
    let turns = arguments.turns as usize;
    let slice = Duration::from_millis(arguments.slice);
    let wanted = |title: &str| {
        arguments
            .title
            .as_deref()
            .is_none_or(|part| title.contains(part))
    };
    let out = &mut io::stdout().lock();
    if !arguments.bench {
        writeln!(
            out,
            "A brief try: these numbers mean little, `make bench` measures."
        )?;
    }
    cpu::describe(out)?;
    let cpus = Cpus::of_this_process().context("the CPUs cannot be told")?;
    cpus.pin_load()
        .context("the load generator cannot be pinned")?;
    for comparison in comparison::all(&cpus)? {
        if wanted(&comparison.title) {
            comparison.measure(turns, slice)?.write(out)?;
        }
    }
    if wanted(parts::TITLE) {
        parts::measure(turns, out)?;
    }
    for scrape in SCRAPES {
        if wanted(&scrape.title()) {
            scrape.measure(turns, &cpus, out)?;
        }
    }
    Ok(())
}

const SCRAPES: [Scrape; 3] = [
    Scrape {
        threads: 1_000,
        viewers: 0,
        at_most: Some(10.0),
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
