//! Writes a report as a table, JSON, Markdown or HTML.

pub mod html;
mod json;
mod markdown;
mod number;
mod palette;
mod table;
mod timeline;

use std::io::{self, Write};

use super::report::Report;

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal, with ANSI colours. Where they are not wanted, the writer strips them.
    Table,
    /// For programs: [`super::report`].
    Json,
    /// For pasting into a document.
    Markdown,
}

/// Writes `report`.
///
/// # Errors
///
/// If writing fails.
pub fn write(report: &Report, format: Format, to: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Table => table::write(report, to),
        Format::Json => json::write(report, to),
        Format::Markdown => markdown::write(report, to),
    }
}
