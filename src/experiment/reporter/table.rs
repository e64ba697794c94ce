//! The report for a terminal.

use std::io::{self, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, TableComponent};

use super::{number, timeline};
use crate::experiment::report::{Finding, Report, Run, Verdict};

pub(super) fn write(report: &Report, colour: bool, to: &mut dyn Write) -> io::Result<()> {
    for run in &report.runs {
        write_run(run, colour, to)?;
    }
    if report.runs.len() > 1 {
        for run in &report.runs {
            writeln!(to, "{:<12} {}", run.name, verdict(run.verdict, colour))?;
        }
    }
    Ok(())
}

fn write_run(run: &Run, colour: bool, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "{}: {}\n{}\n", run.name, run.question, run.model)?;
    for drawn in &run.timelines {
        timeline::write(drawn, colour, to)?;
    }
    if !run.findings.is_empty() {
        writeln!(to, "{}", table(&run.findings, colour))?;
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
    let verdict = verdict(run.verdict, colour);
    writeln!(to, "\n  {}\n", number::conclusion(run, &verdict))
}

fn table(findings: &[Finding], colour: bool) -> Table {
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
    for finding in findings {
        let [cells @ .., verdict] = number::cells(finding);
        let mut verdict = Cell::new(verdict);
        if colour {
            let colour = if finding.holds {
                Color::Green
            } else {
                Color::Red
            };
            verdict = verdict.fg(colour).add_attribute(Attribute::Bold);
        }
        table.add_row(cells.map(Cell::new).into_iter().chain([verdict]));
    }
    table
}

fn verdict(verdict: Verdict, colour: bool) -> String {
    let code = match verdict {
        Verdict::Confirmed => 32,
        Verdict::Contradicted => 31,
        Verdict::Void | Verdict::NotHere | Verdict::Interrupted => 33,
    };
    let text = verdict.as_str();
    if colour {
        format!("\x1b[1;{code}m{text}\x1b[0m")
    } else {
        text.into()
    }
}
