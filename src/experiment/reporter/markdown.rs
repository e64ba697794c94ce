//! Report in Markdown, for pasting into a document.

use std::io::{self, Write};

use anstream::adapter::strip_str;

use super::{number, timeline};
use crate::experiment::plural::plural;
use crate::experiment::report::{Report, Run};

/// Characters of a line in a code block, which is not wrapped.
const CODE_WIDTH: usize = 120;

pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    for run in &report.runs {
        write_run(run, to)?;
    }
    writeln!(
        to,
        "threadlab {}, front {}, {}",
        report.version,
        report.front,
        plural(report.cpus, "CPU")
    )
}

fn write_run(run: &Run, to: &mut dyn Write) -> io::Result<()> {
    writeln!(
        to,
        "## {}: {}\n\n{}\n\nVerdict: {}.\n",
        run.name,
        run.question,
        run.model,
        number::conclusion(run, &format!("**{}**", run.verdict.as_str()))
    )?;
    for drawn in &run.timelines {
        let drawn = timeline::draw(drawn, CODE_WIDTH);
        writeln!(to, "```text\n{}```\n", strip_str(&drawn))?;
    }
    if !run.findings.is_empty() {
        writeln!(
            to,
            "{}\n{}",
            row(number::HEADINGS.map(String::from)),
            row([(); 8].map(|()| "---".into()))
        )?;
    }
    for (index, finding) in run.findings.iter().enumerate() {
        writeln!(to, "{}", row(number::cells(index + 1, finding)))?;
    }
    writeln!(to)?;
    for table in &run.tables {
        let headings: Vec<String> = table
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let rule: Vec<String> = headings.iter().map(|_| "---".into()).collect();
        writeln!(to, "{}\n\n{}\n{}", table.title, row(headings), row(rule))?;
        for cells in &table.rows {
            writeln!(to, "{}", row(number::row(table, cells)))?;
        }
        writeln!(to, "\nFormula: {}\n", table.source)?;
    }
    for reason in number::reasons(&run.findings) {
        writeln!(to, "- {reason}")?;
    }
    for note in run.remarks() {
        writeln!(to, "- {note}")?;
    }
    if let Some(load) = number::generator(&run.generator) {
        writeln!(to, "- load: {load}")?;
    }
    writeln!(to)
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().map(|cell| cell.replace('|', "\\|"));
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}
