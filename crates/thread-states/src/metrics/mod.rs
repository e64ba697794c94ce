//! Thread states and requests of a server as Prometheus metrics.
//!
//! * [`list`]: names, help texts and labels
//! * `collector`: the values of all metrics, computed during the scrape
//! * `requests`, `layer`: request histograms, and the tower layer that fills them
//! * `histogram`: counts by bucket
//! * `server_metrics`: the metrics of one server
//! * `exposition`: any number of servers as text: a `page`, in the format of `text`
//! * `adapters`: the metrics in other metrics libraries
//! * `process`: the `process_*` metrics
//! * `exporter`: `/metrics` and health checks, on a port and a thread of their own

mod adapters;
mod collector;
#[cfg(feature = "exporter")]
pub mod exporter;
mod exposition;
mod histogram;
mod layer;
pub mod list;
mod page;
#[cfg(target_os = "linux")]
mod process;
mod requests;
mod server_metrics;
mod text;

pub use exposition::{DuplicateServer, EncodeError, Exposition};
pub use histogram::InvalidBounds;
pub use layer::{Measured, RequestLayer, RequestService, ResponseFuture, ThreadModel};
pub use server_metrics::{Metrics, MetricsBuilder};
