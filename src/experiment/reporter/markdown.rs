//! The report for pasting into a document.

use std::io::{self, Write};

use super::{number, timeline};
use crate::experiment::report::{Report, Run};

pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    for run in &report.runs {
        write_run(run, to)?;
    }
    writeln!(
        to,
        "threadlab {}, front {}, {} CPUs",
        report.version, report.front, report.cpus
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
        writeln!(to, "```text")?;
        timeline::write(drawn, false, to)?;
        writeln!(to, "```\n")?;
    }
    if !run.findings.is_empty() {
        writeln!(
            to,
            "{}\n{}",
            row(number::HEADINGS.map(String::from)),
            row([(); 7].map(|()| "---".into()))
        )?;
    }
    for finding in &run.findings {
        writeln!(to, "{}", row(number::cells(finding)))?;
    }
    writeln!(to)?;
    for (quantity, because) in number::reasons(&run.findings) {
        writeln!(to, "- {quantity}: {because}")?;
    }
    for note in &run.notes {
        writeln!(to, "- {note}")?;
    }
    writeln!(to, "- load: {}\n", number::generator(&run.generator))
}

fn row(cells: [String; 7]) -> String {
    format!(
        "| {} |",
        cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
    )
}
