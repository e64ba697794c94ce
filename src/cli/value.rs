//! Parsers of flag values. Their errors say what is allowed.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::serve::SubnetAndPort;

const MAX_THREADS: usize = 4096;
/// As many as PostgreSQL itself accepts with ordinary settings, and more than any pool should have.
const MAX_CONNECTIONS: u32 = 1000;
const MAX_SECONDS: f64 = 86_400.0;

/// A duration that the command line writes in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecondsArg(pub(super) Duration);

impl fmt::Display for SecondsArg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.as_secs_f64())
    }
}

/// Parses a log filter. `Targets` alone would take a misspelled level for a target whose events are all shown.
pub(super) fn log_filter(text: &str) -> Result<Targets, String> {
    let is_known = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    let filter = text.parse().ok().filter(|_| text.split(',').all(is_known));
    filter.ok_or_else(|| {
        "expected a level (off, error, warn, info, debug, trace) or TARGET=LEVEL, separated by commas, \
         e.g. info,threadlab::proxy=debug"
            .into()
    })
}

/// Checks that a text is `HOST:PORT`, as [`host_and_port`] does, or `SUBNET:PORT`.
pub(super) fn listen_address(text: &str) -> Result<String, String> {
    match SubnetAndPort::parse(text) {
        Ok(Some(_)) => Ok(text.to_owned()),
        Ok(None) => host_and_port(text),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks that a text is `HOST:PORT`. The name is looked up when it is used.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty() && !host.contains('/')).then_some(port));
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("expected HOST:PORT, e.g. 127.0.0.1:8000, with a port from 0 to 65535".into()),
    }
}

/// Parses a number of threads.
pub(super) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text
        .parse()
        .ok()
        .filter(|threads: &NonZeroUsize| threads.get() <= MAX_THREADS);
    threads.ok_or_else(|| format!("expected a whole number from 1 to {MAX_THREADS}"))
}

/// Parses a number of database connections.
pub(super) fn connections(text: &str) -> Result<NonZeroU32, String> {
    let connections = text
        .parse()
        .ok()
        .filter(|connections: &NonZeroU32| connections.get() <= MAX_CONNECTIONS);
    connections.ok_or_else(|| format!("expected a whole number from 1 to {MAX_CONNECTIONS}"))
}

/// Parses the environment variable of a flag without a value. An empty one is off, as Compose sets it from one that is
/// not set.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// Parses a timeout.
pub(super) fn timeout(text: &str) -> Result<SecondsArg, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.001..=MAX_SECONDS).contains(seconds));
    seconds
        .map(|seconds| SecondsArg(Duration::from_secs_f64(seconds)))
        .ok_or_else(|| format!("expected seconds from 0.001 to {MAX_SECONDS}"))
}

/// Parses a grace period: a timeout, or 0 to end at once.
pub(super) fn grace(text: &str) -> Result<SecondsArg, String> {
    if text.parse() == Ok(0.0) {
        return Ok(SecondsArg(Duration::ZERO));
    }
    timeout(text).map_err(|_| format!("expected 0, or seconds from 0.001 to {MAX_SECONDS}"))
}
