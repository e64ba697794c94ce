//! Both gateways, held to one behaviour over real sockets, and to the differences that they are
//! there to show.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod harness;
mod article;
mod limits;
mod protocol;
mod resilience;
mod shutdown;
