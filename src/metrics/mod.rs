//! The metrics that only the lab has, in addition to those of [`thread_states`].
//!
//! * `list`: their names, help texts and labels
//! * `watched`: the same of metrics that only watched servers have
//! * `accept_queue`: connections that no thread has accepted yet
//! * `cpu_pressure`: the load of the machine itself
//! * `request_queue`: requests that no thread has taken yet
//! * `probe`: reader of either queue
//! * `experiments`: the experiments that are running
//! * `endpoints`: the list of endpoints of the metrics port

mod accept_queue;
mod cpu_pressure;
pub mod endpoints;
mod experiments;
pub mod list;
mod probe;
mod request_queue;
pub mod watched;

pub use accept_queue::{AcceptQueue, AcceptQueues};
pub use cpu_pressure::cpu_pressure;
pub use experiments::Experiments;
pub use probe::Probe;
pub use request_queue::{RequestQueue, RequestQueues};
