//! Tests of both gateways over real sockets: their common behavior, and the differences that the lab
//! shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod harness;
mod article;
mod keep_alive;
mod limits;
mod protocol;
mod resilience;
mod shutdown;
