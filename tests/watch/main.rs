//! Watching servers of other processes: what is shown beside what is known otherwise.
//!
//! * `servers`: the small servers that are watched; each is this program started again
//! * `watching`: a watcher, and what it shows over a stretch of time
//! * `waits`: servers whose waits are known
//! * `own_accounting`: our own servers, which account for themselves
//! * `lives`: processes that end, restart, stop, have many children or may not be read
//! * `time_wait`: a host with many connections in TIME_WAIT
//! * `reads`: reads of files that watching many threads takes
//! * `command`: the command line

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]
#![cfg(target_os = "linux")]

#[path = "../common/address.rs"]
mod address;
#[path = "../common/lab.rs"]
mod lab;

mod command;
mod lives;
mod own_accounting;
mod reads;
mod servers;
mod time_wait;
mod waits;
mod watching;
