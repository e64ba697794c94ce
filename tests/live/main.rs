//! The live page in a real browser with real servers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/address.rs"]
mod address;
#[path = "../common/lab.rs"]
mod lab;
#[path = "../../crates/thread-states/tests/common/quiet.rs"]
mod quiet;

mod accessible;
mod behind;
mod browser;
mod experiment;
mod lanes;
mod originals;
mod pointer;
mod stand_in;
mod still;
mod streams;
