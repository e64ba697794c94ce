//! What each server thread does now, for people who watch: as JSON, and as server-sent events for
//! the live page.

mod changes;
mod events;
mod links;
mod look;
mod page;
mod replicas;
mod watched_server;

pub use events::routes;
pub use links::{Link, NoLink};
pub use page::{File, page};
pub use watched_server::WatchedServer;
