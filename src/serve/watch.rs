//! A process that watches servers of other processes.

use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::Context;
use thread_states::metrics::exporter::{self, Readiness};
use thread_states::metrics::registry;

use super::address::Address;
use super::announce;
use super::file_limit::raise_file_limit;
use super::signals::Signals;
use crate::watch::{Watch, WatchCollector, WatchSettings};

/// Watches servers until a signal ends it, and serves their metrics.
///
/// # Errors
///
/// When the address of the metrics is taken or a thread cannot be started.
pub fn watch(settings: WatchSettings, metrics: &Address) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    // Each watched thread has its files in /proc open.
    raise_file_limit();
    let listener = metrics.listen(TcpListener::bind)?;
    let names: Vec<String> = settings
        .targets
        .iter()
        .map(|named| format!("{} ({})", named.name, named.target.describe()))
        .collect();
    let watch = Watch::start(settings).context("cannot start the watcher")?;

    let registry = registry([])?;
    registry.register(Box::new(WatchCollector::new(watch.clone())?))?;
    let readiness = Readiness::default();
    let routes = exporter::routes(registry).merge(exporter::readiness_route(readiness.clone()));
    let metrics = exporter::spawn(listener, routes).context("cannot start the exporter")?;
    let names = match names[..] {
        [] => "every server that listens here".to_owned(),
        _ => names.join(", "),
    };
    announce::watch(&names, metrics);
    readiness.set(true);
    signals.wait()?;
    Ok(ExitCode::SUCCESS)
}
