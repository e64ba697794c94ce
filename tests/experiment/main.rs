//! Experiments on labs of one process, with short waits: each must be confirmed on an unchanged lab and contradicted on
//! one that violates its assumptions.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/lab.rs"]
mod lab;
#[path = "../../crates/thread-states/tests/common/quiet.rs"]
mod quiet;

mod announced;
mod confirmed;
mod contradicted;
mod crossed;
mod edges;
mod options;
mod originals;
mod pages;
mod runner;
