//! A process that watches servers of other processes.

use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::Context;
use thread_states::metrics::Exposition;
use thread_states::metrics::exporter::{self, Readiness};
use thread_states::{RequestLog, Routes, Timestamp};

use super::address::Address;
use super::announce;
use super::file_limit::raise_file_limit;
use super::signals::Signals;
use crate::live::{self, Readings, ThreadNow};
use crate::metrics::{AcceptQueue, RequestQueue};
use crate::watch::{Missing, Watch, WatchCollector, WatchHandle, WatchSettings};

/// Watches servers until a signal ends it, and serves their metrics.
///
/// # Errors
///
/// When the address of the metrics is taken or a thread cannot be started.
pub fn watch(
    settings: WatchSettings,
    metrics: &Address,
    metrics_names: Vec<String>,
) -> anyhow::Result<ExitCode> {
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

    let exposition = Exposition::new([])?;
    exposition.register(Box::new(WatchCollector::new(watch.clone())?))?;
    let readiness = Readiness::default();
    let routes = exporter::routes(exposition)
        .merge(exporter::readiness_route(readiness.clone()))
        .merge(live::routes_of(move || shown(&watch), &[], None));
    let metrics = exporter::spawn_for_names(listener, routes, metrics_names)
        .context("cannot start the exporter")?;
    let names = match names[..] {
        [] => "every server that listens here".to_owned(),
        _ => names.join(", "),
    };
    readiness.set(true);
    announce::watch(&names, metrics.address());
    signals.wait()?;
    Ok(ExitCode::SUCCESS)
}

/// The watched servers, for the live page.
fn shown(watch: &Watch) -> Vec<live::WatchedServer> {
    let servers = watch.servers().into_iter();
    servers
        .map(|handle| live::WatchedServer::of(WatchedFromOutside(handle)))
        .collect()
}

/// A watched server as the live page reads it; `live` and `watch` do not know each other.
#[derive(Debug)]
struct WatchedFromOutside(WatchHandle);

impl Readings for WatchedFromOutside {
    fn server(&self) -> &str {
        self.0.name()
    }

    fn began(&self) -> Timestamp {
        self.0.began()
    }

    fn threads(&self) -> Vec<ThreadNow> {
        let threads = self.0.read().threads.into_iter();
        let now = threads.map(|thread| ThreadNow {
            label: thread.label(),
            state: thread.state,
            since: thread.state.map(|_| thread.state_since),
            on: thread.waits_on,
            times: thread.settled.times,
        });
        now.collect()
    }

    fn requests_in_flight(&self) -> u64 {
        self.0.read().requests_in_flight
    }

    fn accept_queue(&self) -> Option<AcceptQueue> {
        let (length, limit) = self.0.read().accept_queue?;
        Some(AcceptQueue { length, limit })
    }

    fn request_queue(&self) -> Option<RequestQueue> {
        let reading = self.0.read();
        let unseen = [Missing::Sockets, Missing::Namespace];
        let is_seen = !reading
            .missing
            .iter()
            .any(|missing| unseen.contains(missing));
        is_seen.then(|| RequestQueue {
            accept: reading.queued_in_accept,
            socket: reading.queued_unread,
            oldest_seconds: reading.oldest_queued.as_secs_f64(),
        })
    }

    fn request_log(&self) -> Option<(&RequestLog, &Routes)> {
        None
    }
}
