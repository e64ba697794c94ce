//! Colours of the thread states: the same here as on the dashboards and the live page.

use anstyle::{RgbColor, Style};

/// Colour of `running`.
pub(super) const RUNNING: RgbColor = RgbColor(0x73, 0xBF, 0x69);
/// Colour of `runnable`, and of requests that wait for a thread.
pub(super) const RUNNABLE: RgbColor = RgbColor(0xFA, 0xDE, 0x2A);
/// Colour of `blocked`, and of requests that hold a thread.
pub(super) const BLOCKED: RgbColor = RgbColor(0xF2, 0x49, 0x5C);
/// Colour of `awaiting`, and of requests that wait without a thread.
pub(super) const AWAITING: RgbColor = RgbColor(0x57, 0x94, 0xF2);
/// Colour of `idle`.
pub(super) const IDLE: RgbColor = RgbColor(0x8E, 0x8E, 0x8E);

/// Colour of requests of which only the latency is known.
pub(super) const UNTIMED: RgbColor = RgbColor(0xCC, 0x79, 0xA7);

/// Returns the colour of a thread state.
pub(super) fn state(name: &str) -> RgbColor {
    match name {
        "running" => RUNNING,
        "runnable" => RUNNABLE,
        "blocked" => BLOCKED,
        "awaiting" => AWAITING,
        _ => IDLE,
    }
}

/// Formats `text` in a style, as ANSI escape codes.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
