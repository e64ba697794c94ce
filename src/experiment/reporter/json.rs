//! Report in JSON, described in `docs/labs/schema.md`.

use std::io::{self, Write};

use crate::experiment::report::Report;

pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, report)?;
    writeln!(to)
}
