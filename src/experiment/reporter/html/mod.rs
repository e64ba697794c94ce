//! Report as a self-contained HTML page with plots, light or dark as the reader's system is.

mod plot;

use std::io::{self, Write};

use super::{number, palette};
use crate::experiment::plural::plural;
use crate::experiment::report::{DataTable, Finding, Report, Run};
use crate::html::escape;

/// Styles of the page. Plots are drawn in black on nothing; in dark mode their text and axes get the
/// color of the page's text.
const STYLE: &str = "\
    :root{color-scheme:light dark;--back:#fff;--text:#1b1b1f;--line:#d5d5dc;--good:#226b19;--bad:#b00d2b;--other:#7a5b00}\
    @media(prefers-color-scheme:dark){:root{--back:#17171b;--text:#e8e8ee;--line:#3c3c46;--good:#8fd982;--bad:#ff8a98;\
    --other:#e8c547}}\
    body{font:16px/1.5 system-ui,sans-serif;background:var(--back);color:var(--text);max-width:75rem;margin:2rem auto;\
    padding:0 1rem}a{color:inherit}\
    .wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px}\
    td,th{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid var(--line)}\
    .as-predicted .result,.confirmed{color:var(--good)}.not-as-predicted .result,.contradicted{color:var(--bad)}\
    .void,.not.here,.interrupted{color:var(--other)}\
    .server{padding:0 .4rem;border:2px solid currentColor;white-space:nowrap}.async,.fastapi{border-style:dashed;border-radius:1rem}\
    .legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:14px}\
    .legend i{display:inline-block;width:1rem;height:1rem;vertical-align:-.15rem;margin-right:.4rem}\
    svg{max-width:100%;min-width:44rem;height:auto}svg text{fill:var(--text)}svg [stroke='#000000']{stroke:var(--text)}";

/// Writes the page.
///
/// # Errors
///
/// If writing fails or a plot cannot be drawn.
pub fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    writeln!(
        to,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>threadlab: experiments</title>\n\
         <style>{STYLE}</style>\n<main>\n<h1>Experiments</h1>\n<p>threadlab {}, front {}, {}, / waits {} s</p>\n<ul>",
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
    writeln!(to, "</main>\n</html>")
}

fn write_run(run: &Run, to: &mut dyn Write) -> io::Result<()> {
    let verdict = run.verdict.as_str();
    writeln!(
        to,
        "<h2 id=\"{0}\">{0}: {1}</h2>\n<p>{2}</p>\n<p class=\"{verdict}\">{3}</p>",
        run.name,
        escape(run.question),
        escape(run.model),
        escape(&number::conclusion(run, verdict))
    )?;
    if !run.timelines.is_empty() {
        write_legend(to)?;
    }
    for timeline in &run.timelines {
        let server = badge(timeline.server);
        writeln!(
            to,
            "<h3>{server}</h3>\n<div class=\"wide\">{}</div>",
            plot::timeline(timeline)?
        )?;
    }
    if !run.curves.is_empty() {
        writeln!(
            to,
            "<h3>Latencies</h3>\n<div class=\"wide\">{}</div>",
            plot::curves(&run.curves)?
        )?;
    }
    if !run.findings.is_empty() {
        writeln!(
            to,
            "<h3>Predictions</h3>\n<div class=\"wide\">{}</div>",
            plot::findings(&run.findings)?
        )?;
        write_table(&run.findings, to)?;
    }
    run.tables
        .iter()
        .try_for_each(|table| write_data(table, to))?;
    writeln!(to, "<ul>")?;
    for reason in number::reasons(&run.findings) {
        writeln!(to, "<li>{}</li>", escape(&reason.to_string()))?;
    }
    for note in run.remarks() {
        writeln!(to, "<li>{}</li>", escape(note))?;
    }
    if let Some(load) = number::generator(&run.generator) {
        writeln!(to, "<li>load: {load}</li>")?;
    }
    writeln!(to, "</ul>")
}

/// Writes the meaning of the colors of a timeline.
fn write_legend(to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "<ul class=\"legend\">")?;
    for (color, meaning) in [
        (
            palette::RUNNABLE,
            "request waits for a thread; thread waits for a CPU (runnable)",
        ),
        (
            palette::BLOCKED,
            "request holds a thread; thread is blocked",
        ),
        (
            palette::AWAITING,
            "request waits without a thread; thread is awaiting",
        ),
        (palette::RUNNING, "thread is running"),
        (palette::IDLE, "thread is idle"),
        (
            palette::UNTIMED,
            "request is in flight, and the server does not report in which way",
        ),
    ] {
        let anstyle::RgbColor(red, green, blue) = color;
        writeln!(
            to,
            "<li><i style=\"background:#{red:02X}{green:02X}{blue:02X}\"></i>{meaning}</li>"
        )?;
    }
    writeln!(to, "</ul>")
}

/// Returns the name of a server in its frame: square and solid for synchronous ones, round and dashed for
/// asynchronous ones.
fn badge(server: &str) -> String {
    format!("<span class=\"server {server}\">{server}</span>")
}

fn write_table(findings: &[Finding], to: &mut dyn Write) -> io::Result<()> {
    let headings = number::HEADINGS.map(|heading| format!("<th>{heading}</th>"));
    writeln!(
        to,
        "<div class=\"wide\"><table>\n<tr>{}</tr>",
        headings.concat()
    )?;
    for (index, finding) in findings.iter().enumerate() {
        let class = if finding.holds {
            "as-predicted"
        } else {
            "not-as-predicted"
        };
        let [row, server, cells @ .., result] =
            number::cells(index + 1, finding).map(|cell| escape(&cell));
        let name = finding.setting.server;
        let server = server.replacen(name, &badge(name), 1);
        let cells = cells.map(|cell| format!("<td>{cell}</td>")).concat();
        writeln!(
            to,
            "<tr class=\"{class}\"><td>{row}</td><td>{server}</td>{cells}<td class=\"result\">{result}</td></tr>"
        )?;
    }
    writeln!(to, "</table></div>")
}

fn write_data(table: &DataTable, to: &mut dyn Write) -> io::Result<()> {
    let cells = |tag: &str, cells: Vec<String>| {
        let cells = cells
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        cells.collect::<String>()
    };
    let headings = table.columns.iter().map(|column| column.name.clone());
    writeln!(
        to,
        "<h3>{}</h3>\n<div class=\"wide\"><table>\n<tr>{}</tr>",
        escape(&table.title),
        cells("th", headings.collect())
    )?;
    for row in &table.rows {
        writeln!(to, "<tr>{}</tr>", cells("td", number::row(table, row)))?;
    }
    writeln!(
        to,
        "</table></div>\n<p>Formula: {}</p>",
        escape(table.source)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_a_main_part_and_a_dark_mode() {
        let report = Report::without_runs();
        let mut page = Vec::new();
        write(&report, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for words in ["<main>", "</main>", "prefers-color-scheme:dark", ", 1 CPU,"] {
            assert!(page.contains(words), "{words}");
        }
    }

    #[test]
    fn legend_explains_every_color_of_a_timeline() {
        let mut legend = Vec::new();
        write_legend(&mut legend).unwrap();
        let legend = String::from_utf8(legend).unwrap();
        for words in [
            "#FADE2A", "#F2495C", "#5794F2", "#73BF69", "#8E8E8E", "blocked", "idle",
        ] {
            assert!(legend.contains(words), "{words}");
        }
    }
}
