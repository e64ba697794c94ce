//! The text printed at the start: all addresses, and commands to paste.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use super::address::reachable;
use crate::flavor::Flavor;

/// Addresses of the lab in one process.
pub(super) struct Endpoints {
    pub(super) front: SocketAddr,
    pub(super) sync: SocketAddr,
    pub(super) r#async: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) threads: NonZeroUsize,
}

/// Prints the addresses of the lab and the article's experiment as commands.
pub(super) fn lab(endpoints: &Endpoints) {
    let front = reachable(endpoints.front);
    let (sync, r#async, metrics) = (
        reachable(endpoints.sync),
        reachable(endpoints.r#async),
        reachable(endpoints.metrics),
    );
    let threads = match endpoints.threads.get() {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    print(format_args!(
        "\
threadlab {version}: a synchronous and an asynchronous server with {threads} each

  http://{front}/              live page
  http://{front}/sync/docs     synchronous server, through the front; directly at http://{sync}
  http://{front}/async/docs    asynchronous server, through the front; directly at http://{async}
  http://{metrics}/metrics       metrics of both, for Prometheus

The experiment: GET / waits 20 s, GET /dummy responds at once. Request both. Paste two lines at a time:

  curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/async/ &
  sleep 0.5; curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/async/dummy; wait

  curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/sync/ &
  sleep 0.5; curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/sync/dummy; wait

Press Ctrl-C to stop.
",
        version = env!("CARGO_PKG_VERSION"),
    ));
}

/// Prints the addresses of one server.
pub(super) fn server(flavor: Flavor, server: SocketAddr, metrics: SocketAddr) {
    print(format_args!(
        "threadlab: {flavor} on http://{server}, metrics on http://{metrics}/metrics\n"
    ));
}

/// Prints the addresses of a process that watches these servers.
#[cfg(target_os = "linux")]
pub(super) fn watch(names: &str, metrics: SocketAddr) {
    print(format_args!(
        "threadlab: watching {names}, metrics on http://{metrics}/metrics\n"
    ));
}

/// Prints to stdout. A reader that stops early (`threadlab | head -1`) or a full disk does not end
/// the servers.
fn print(text: fmt::Arguments<'_>) {
    if let Err(error) = io::stdout().write_fmt(text) {
        tracing::warn!(%error, "could not print addresses to stdout");
    }
}
