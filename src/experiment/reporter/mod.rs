//! Writes a report down.

pub mod html;
mod json;
mod markdown;
mod number;
mod palette;
mod table;
mod timeline;

use std::io::{self, Write};

use super::report::Report;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal; with colours if `colour`.
    Table {
        /// Whether the terminal has colours and its user wants them.
        colour: bool,
    },
    /// For programs: [`super::report`].
    Json,
    /// For pasting into a document.
    Markdown,
}

/// Writes `report`.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(report: &Report, format: Format, to: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Table { colour } => table::write(report, colour, to),
        Format::Json => json::write(report, to),
        Format::Markdown => markdown::write(report, to),
    }
}
