//! Queries of the lab's servers against a real PostgreSQL server, which is killed, stopped, filled and restarted.
//!
//! They need PostgreSQL, so they run with `make database` only.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/address.rs"]
mod address;
#[path = "../common/lab.rs"]
mod lab;
#[path = "../common/postgres.rs"]
mod postgres;

mod faults;
mod pool;
mod queries;
