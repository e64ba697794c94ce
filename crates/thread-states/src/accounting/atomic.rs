//! The atomics of the `slot`. `tests/slot.rs` compiles the slot with those of a model checker instead.

pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};
