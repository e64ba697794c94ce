//! Report as a self-contained HTML page with plots.

mod plot;

use std::io::{self, Write};

use super::number;
use crate::experiment::plural::plural;
use crate::experiment::report::{Finding, Report, Run};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}\
    table{border-collapse:collapse;font-size:14px}td,th{padding:.2rem .8rem .2rem 0;text-align:left;\
    border-bottom:1px solid #ddd}.as-predicted,.confirmed{color:#2a7d20}.not-as-predicted,.contradicted{color:#c01030}\
    svg{max-width:100%;height:auto}";

/// Writes the page.
///
/// # Errors
///
/// If writing fails or a plot cannot be drawn.
pub fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    writeln!(
        to,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>threadlab: experiments</title>\n\
         <style>{STYLE}</style>\n<h1>Experiments</h1>\n<p>threadlab {}, front {}, {}, / waits {} s</p>\n<ul>",
        report.version,
        escape(&report.front),
        plural(report.cpus, "CPU"),
        report.seconds
    )?;
    for run in &report.runs {
        let (name, verdict) = (run.name, run.verdict.as_str());
        writeln!(
            to,
            "<li><a href=\"#{name}\">{name}</a>: <b class=\"{verdict}\">{verdict}</b></li>"
        )?;
    }
    writeln!(to, "</ul>")?;
    report.runs.iter().try_for_each(|run| write_run(run, to))?;
    writeln!(to, "</html>")
}

fn write_run(run: &Run, to: &mut dyn Write) -> io::Result<()> {
    let verdict = run.verdict.as_str();
    writeln!(
        to,
        "<h2 id=\"{0}\">{0}: {1}</h2>\n<p>{2}</p>\n<p class=\"{verdict}\">{3}</p>",
        run.name,
        escape(run.question),
        escape(run.model),
        number::conclusion(run, verdict)
    )?;
    for timeline in &run.timelines {
        writeln!(to, "{}", plot::timeline(timeline)?)?;
    }
    if !run.curves.is_empty() {
        writeln!(to, "{}", plot::curves(&run.curves)?)?;
    }
    if !run.findings.is_empty() {
        writeln!(to, "{}", plot::findings(&run.findings)?)?;
        write_table(&run.findings, to)?;
    }
    writeln!(to, "<ul>")?;
    for (quantity, because) in number::reasons(&run.findings) {
        writeln!(to, "<li>{}: {}</li>", escape(quantity), escape(because))?;
    }
    for note in &run.notes {
        writeln!(to, "<li>{}</li>", escape(note))?;
    }
    writeln!(
        to,
        "<li>load: {}</li>\n</ul>",
        number::generator(&run.generator)
    )
}

fn write_table(findings: &[Finding], to: &mut dyn Write) -> io::Result<()> {
    let headings = number::HEADINGS.map(|heading| format!("<th>{heading}</th>"));
    writeln!(to, "<table>\n<tr>{}</tr>", headings.concat())?;
    for finding in findings {
        let class = if finding.holds {
            "as-predicted"
        } else {
            "not-as-predicted"
        };
        let cells = number::cells(finding).map(|cell| format!("<td>{}</td>", escape(&cell)));
        writeln!(to, "<tr class=\"{class}\">{}</tr>", cells.concat())?;
    }
    writeln!(to, "</table>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b> & c"), "a&lt;b&gt; &amp; c");
    }
}
