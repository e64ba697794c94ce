//! The present state of each server thread: as JSON, and as server-sent events for the live page.
//!
//! * `routes`: `/threads` and `/threads/stream`
//! * `event`: the format of the events
//! * `history`: the states of the last minute, for new viewers
//! * `recorder`: the thread that records them
//! * `milliseconds`: times of the events
//! * `states`: the threads of a server as JSON
//! * `sample`: one reading of a server
//! * `samples`: the readings, shared by the viewers
//! * `readings`: where these come from: this process, or a watched one
//! * `replicas`: the number of servers behind a name
//! * `page`: the files of the live page; `page/` holds them
//! * `docs`: the pages of `docs/`, to which the live page links

mod docs;
mod event;
mod history;
mod link;
mod milliseconds;
mod page;
mod readings;
mod recorder;
mod replicas;
mod routes;
mod sample;
mod samples;
mod states;
mod watched_server;

pub use docs::docs;
pub use link::{InvalidLink, Link};
pub use page::{File, page};
pub use readings::{Readings, ThreadNow};
pub use routes::{routes, routes_of};
pub use watched_server::WatchedServer;
