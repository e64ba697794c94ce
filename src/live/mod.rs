//! The present state of each server thread: as JSON, and as server-sent events for the live page.
//!
//! * `routes`: `/threads` and `/threads/stream`
//! * `event`: the format of the events
//! * `states`: the threads of a server as JSON
//! * `sample`: one reading of a server, shared by its viewers
//! * `replicas`: the number of servers behind a name
//! * `page`: the files of the live page; `page/` holds them

mod event;
mod link;
mod page;
mod replicas;
mod routes;
mod sample;
mod states;
mod watched_server;

pub use link::{InvalidLink, Link};
pub use page::{File, page};
pub use routes::routes;
pub use watched_server::WatchedServer;
