//! What each server thread does now, for people who watch: as JSON, and as server-sent events for
//! the live page.

mod changes;
mod events;
mod links;
mod look;
mod page;
mod replicas;

pub use events::routes;
pub use links::{Link, NoLink};
pub use page::{File, PAGE};

use serde::Serialize;

/// Connections that wait to be accepted, and how many may.
#[derive(Debug, Serialize)]
struct AcceptQueue {
    length: u64,
    limit: u64,
}

impl From<(u64, u64)> for AcceptQueue {
    fn from((length, limit): (u64, u64)) -> Self {
        Self { length, limit }
    }
}
