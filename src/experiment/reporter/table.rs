//! Report for a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, TableComponent};

use super::palette::styled;
use super::{number, timeline};
use crate::experiment::report::{Finding, Report, Run, Verdict};

pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    for run in &report.runs {
        write_run(run, to)?;
    }
    if report.runs.len() > 1 {
        for run in &report.runs {
            writeln!(to, "{:<12} {}", run.name, verdict(run.verdict))?;
        }
    }
    Ok(())
}

fn write_run(run: &Run, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "{}: {}\n{}\n", run.name, run.question, run.model)?;
    for drawn in &run.timelines {
        write!(to, "{}", timeline::draw(drawn))?;
    }
    if !run.findings.is_empty() {
        writeln!(to, "{}", table(&run.findings))?;
    }
    for (quantity, because) in number::reasons(&run.findings) {
        writeln!(to, "  {quantity}: {because}")?;
    }
    for note in &run.notes {
        writeln!(to, "  {note}")?;
    }
    if run.generator.requests > 0 {
        writeln!(to, "  load: {}", number::generator(&run.generator))?;
    }
    let verdict = verdict(run.verdict);
    writeln!(to, "\n  {}\n", number::conclusion(run, &verdict))
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(number::HEADINGS);
    table
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections)
        .remove_style(TableComponent::LeftBorderIntersections)
        .remove_style(TableComponent::RightBorderIntersections);
    // The writer decides about colours, not the table.
    table.enforce_styling();
    for finding in findings {
        let [cells @ .., result] = number::cells(finding);
        let colour = if finding.holds {
            Color::Green
        } else {
            Color::Red
        };
        let result = Cell::new(result).fg(colour).add_attribute(Attribute::Bold);
        table.add_row(cells.map(Cell::new).into_iter().chain([result]));
    }
    table
}

fn verdict(verdict: Verdict) -> String {
    let colour = match verdict {
        Verdict::Confirmed => AnsiColor::Green,
        Verdict::Contradicted => AnsiColor::Red,
        Verdict::Void | Verdict::NotHere | Verdict::Interrupted => AnsiColor::Yellow,
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    styled(style, verdict.as_str())
}
