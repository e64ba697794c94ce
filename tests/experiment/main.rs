//! The experiments against labs of one process, with short waits: each is confirmed by the lab as
//! it is, and contradicted by a lab that is not what it says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/lab.rs"]
mod lab;

mod announced;
mod confirmed;
mod contradicted;
mod crossed;
mod edges;
mod pages;
mod runner;
