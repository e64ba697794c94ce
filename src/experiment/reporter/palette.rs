//! The lab's colours: a state has the same one on the dashboards, the live page and here.

/// Red, green and blue.
pub(super) type Colour = (u8, u8, u8);

pub(super) const RUNNING: Colour = (0x73, 0xBF, 0x69);
pub(super) const RUNNABLE: Colour = (0xFA, 0xDE, 0x2A);
pub(super) const BLOCKED: Colour = (0xF2, 0x49, 0x5C);
pub(super) const AWAITING: Colour = (0x57, 0x94, 0xF2);
pub(super) const IDLE: Colour = (0x8E, 0x8E, 0x8E);

/// The colour of a thread's state.
pub(super) fn state(name: &str) -> Colour {
    match name {
        "running" => RUNNING,
        "runnable" => RUNNABLE,
        "blocked" => BLOCKED,
        "awaiting" => AWAITING,
        _ => IDLE,
    }
}
