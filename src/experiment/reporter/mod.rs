//! Writes a report as a table, JSON, Markdown or HTML.

mod columns;
pub mod html;
mod json;
mod markdown;
mod number;
mod palette;
mod table;
mod timeline;
mod wrap;

use std::io::{self, Write};

pub use self::columns::columns;
pub(super) use self::timeline::lane;
use super::report::Report;

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, with ANSI colours. Where they are not wanted, the writer strips them.
    Table {
        /// Columns of the terminal; `None` does not limit the length of lines.
        width: Option<u16>,
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
/// If writing fails.
pub fn write(report: &Report, format: Format, to: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Table { width } => table::write(report, width, to),
        Format::Json => json::write(report, to),
        Format::Markdown => markdown::write(report, to),
    }
}
