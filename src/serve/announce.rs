//! What a person is told at the start: where everything is, and what to paste.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use super::reachable;
use crate::flavor::Flavor;

/// Where the lab in one process listens.
pub(super) struct Lab {
    pub(super) front: SocketAddr,
    pub(super) sync: SocketAddr,
    pub(super) r#async: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) threads: NonZeroUsize,
}

/// Tells where the lab is.
pub(super) fn lab(lab: &Lab) {
    let front = reachable(lab.front);
    let (sync, r#async, metrics) = (
        reachable(lab.sync),
        reachable(lab.r#async),
        reachable(lab.metrics),
    );
    let threads = match lab.threads.get() {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    tell(format_args!(
        "\
threadlab {version}: a synchronous and an asynchronous server, {threads} each

  http://{front}/              the live page
  http://{front}/sync/docs     the synchronous server through the front, directly at http://{sync}
  http://{front}/async/docs    the asynchronous one through the front, directly at http://{async}
  http://{metrics}/metrics       what their threads do, for Prometheus

The experiment. GET / waits 20 s, GET /dummy answers at once; ask for both. Paste two lines at a time:

  curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/async/ &
  sleep 0.5; curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/async/dummy; wait

  curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/sync/ &
  sleep 0.5; curl -so /dev/null -w '%{{url_effective}} %{{time_total}} s\\n' http://{front}/sync/dummy; wait

Ctrl-C ends it.
",
        version = env!("CARGO_PKG_VERSION"),
    ));
}

/// Tells where one server is.
pub(super) fn server(flavor: Flavor, server: SocketAddr, metrics: SocketAddr) {
    let name = flavor.as_str();
    tell(format_args!(
        "threadlab: {name} on http://{server}, metrics on http://{metrics}/metrics\n"
    ));
}

/// A reader who leaves early (`threadlab | head -1`) or a full disk ends no server.
fn tell(text: fmt::Arguments<'_>) {
    if let Err(error) = io::stdout().write_fmt(text) {
        tracing::warn!(%error, "stdout did not take where everything is");
    }
}
