//! Thread states of any process, from outside and without changing it, on Linux.
//!
//! The way of a number:
//!
//! * `tree`: the processes of a `target`; `proc_files` has the parsers of `/proc`
//! * `thread`: at each tick, a thread's counters (`schedstat`) and, if it has moved, the system call in which it
//!   waits (`thread_states::waits`); its `process` knows what the arguments mean, and makes a `site` of them
//! * `motion`: the threads that have to be read at a tick, by the `cpu_clock` of their process
//! * `ledger`: counters and sites as running time, run-queue delay and slices of time at sites
//! * `diag`: at each look, the TCP connections of the network namespace; `sockets`: when requests were in flight on them
//! * `glimpses`: connections that come and go between two looks
//! * `homes`: the sites at which a thread waits for work
//! * `settle`: what a slice was, given homes and requests: blocked, awaiting or idle
//! * `server`: the above for all threads of a server, and the counters; `reading`: these up to a moment
//! * `sampler`: the thread that ticks and looks, as often as the `budget` allows
//! * `own_queue`: the queued requests of a server of this process
//! * `fuzz`: what all of these must make of any input
//! * `permissions`: what cannot be read, and what would help
//!
//! A watched thread is never stopped, signalled or traced: everything is read from `/proc` and netlink.

mod budget;
mod collector;
mod cpu_clock;
mod diag;
#[doc(hidden)]
pub mod fuzz;
mod glimpses;
mod homes;
mod ledger;
mod motion;
mod own_queue;
mod permissions;
mod proc_files;
mod process;
mod reading;
mod sampler;
mod server;
mod settle;
mod site;
mod slots;
mod sockets;
mod target;
mod thread;
mod tree;

pub use collector::WatchCollector;
pub use own_queue::{OwnQueue, SocketTable};
pub use permissions::Missing;
pub use reading::{WatchReading, WatchThreadReading};
pub use sampler::{Watch, WatchCost, WatchHandle, WatchSettings};
pub use settle::Settled;
pub use target::{NamedTarget, Target};
