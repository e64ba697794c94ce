//! Thread states and requests of a server as Prometheus metrics.
//!
//! * [`list`]: names, help texts and labels
//! * `collector`: thread states and routes, computed during the scrape
//! * `requests`, `layer`: request histograms, and the tower layer that fills them
//! * `server_metrics`: thread states and requests of one server
//! * `exposition`: all of them as text
//! * `process`: the `process_*` metrics
//! * [`exporter`]: `/metrics` and health checks, on a port and a thread of their own

mod collector;
pub mod exporter;
mod exposition;
mod layer;
pub mod list;
#[cfg(target_os = "linux")]
mod process;
mod requests;
mod server_metrics;

use std::fmt;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};

use self::exporter::Exporter;
pub use exposition::Exposition;
pub use layer::{Measured, RequestLayer, RequestService, ResponseFuture, ThreadModel};
pub use server_metrics::{Metrics, registry};

impl Metrics {
    /// Returns the metrics of this server in Prometheus' text format, version 0.0.4, for a page that the
    /// application serves itself. Several servers, and other metrics: [`Exposition`].
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not allow the name of a route as the value of a label.
    pub fn encode(&self) -> prometheus::Result<String> {
        exposition::encode(std::slice::from_ref(self))
    }

    /// Serves these metrics and the `process_*` metrics, with the routes of [`exporter::routes`], on
    /// an OS thread of its own, until [`Exporter::stop`] or the end of the process.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if it cannot be bound or the thread cannot be started.
    pub fn export(&self, address: impl ToSocketAddrs + fmt::Debug) -> io::Result<Exporter> {
        let name = format!("{address:?}");
        let export = || {
            let exposition = Exposition::new([self.clone()]).map_err(io::Error::other)?;
            exporter::spawn(TcpListener::bind(address)?, exporter::routes(exposition))
        };
        export().map_err(|error| {
            let message = format!(
                "cannot serve metrics on {}: {error}",
                name.trim_matches('"')
            );
            io::Error::new(error.kind(), message)
        })
    }
}
