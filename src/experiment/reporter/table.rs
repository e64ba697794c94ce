//! Report for a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, TableComponent, Width,
};

use super::number::number;
use super::palette::styled;
use super::wrap::wrap;
use super::{number, timeline};
use crate::experiment::report::{DataTable, Finding, Report, Run, Unit, Verdict};

/// Columns below which the table would break inside words.
const MIN_TABLE_WIDTH: u16 = 100;

pub(super) fn write(report: &Report, width: Option<u16>, to: &mut dyn Write) -> io::Result<()> {
    for run in &report.runs {
        write_run(run, width, to)?;
    }
    if report.runs.len() > 1 {
        for run in &report.runs {
            writeln!(to, "{:<12} {}", run.name, verdict(run.verdict))?;
        }
    }
    Ok(())
}

fn write_run(run: &Run, width: Option<u16>, to: &mut dyn Write) -> io::Result<()> {
    let columns = width.map_or(usize::MAX, usize::from);
    writeln!(to, "{}: {}", run.name, run.question)?;
    writeln!(to, "{}\n", wrap(run.model, columns, 0))?;
    for drawn in &run.timelines {
        write!(to, "{}", timeline::draw(drawn, columns))?;
    }
    match width {
        _ if run.findings.is_empty() => {}
        Some(width) if width < MIN_TABLE_WIDTH => write_records(&run.findings, columns, to)?,
        _ => writeln!(to, "{}", table(&run.findings, width))?,
    }
    for drawn in &run.tables {
        writeln!(to, "{}", wrap(&drawn.title, columns, 2))?;
        if least_widths(drawn).map(|least| least + 1).sum::<usize>() > columns {
            write_rows(drawn, columns, to)?;
        } else {
            writeln!(to, "{}", data_table(drawn, width))?;
        }
        writeln!(
            to,
            "{}",
            wrap(&format!("  formula: {}", drawn.source), columns, 4)
        )?;
    }
    let reasons = number::reasons(&run.findings);
    let reasons = reasons.iter().map(ToString::to_string);
    for text in reasons.chain(run.remarks().cloned()) {
        writeln!(to, "{}", wrap(&format!("  {text}"), columns, 4))?;
    }
    if let Some(load) = number::generator(&run.generator) {
        writeln!(to, "{}", wrap(&format!("  load: {load}"), columns, 4))?;
    }
    let conclusion = number::conclusion(run, &verdict(run.verdict));
    writeln!(to, "\n{}\n", wrap(&format!("  {conclusion}"), columns, 4))
}

/// Returns an empty table with headings.
fn styled_table<T: Into<Cell>>(headings: impl IntoIterator<Item = T>, width: Option<u16>) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_header(headings.into_iter().map(Into::into).collect::<Vec<Cell>>());
    match width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections)
        .remove_style(TableComponent::LeftBorderIntersections)
        .remove_style(TableComponent::RightBorderIntersections);
    table
}

fn table(findings: &[Finding], width: Option<u16>) -> Table {
    let mut table = styled_table(number::HEADINGS, width);
    // The writer decides about colours, not the table.
    table.enforce_styling();
    for (index, finding) in findings.iter().enumerate() {
        let [cells @ .., result] = number::cells(index + 1, finding);
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

/// Writes each finding as a few lines.
fn write_records(findings: &[Finding], columns: usize, to: &mut dyn Write) -> io::Result<()> {
    for (index, finding) in findings.iter().enumerate() {
        let setting = &finding.setting;
        let conditions = format!(
            "{:>3}  {}, wait {}: {}",
            index + 1,
            number::server(setting),
            number(setting.wait_seconds, Unit::Seconds),
            setting.load
        );
        writeln!(to, "{}", wrap(&conditions, columns, 5))?;
        let prediction = &finding.prediction;
        let numbers = format!(
            "     {}: {}, predicted {}",
            prediction.quantity,
            number(finding.observed, prediction.unit),
            number::range(prediction),
        );
        writeln!(to, "{}", wrap(&numbers, columns, 7))?;
        let colour = if finding.holds {
            AnsiColor::Green
        } else {
            AnsiColor::Red
        };
        writeln!(to, "     {}", bold(colour, number::result(finding)))?;
    }
    writeln!(to)
}

/// Returns the least width of each column at which no word is broken.
fn least_widths(table: &DataTable) -> impl Iterator<Item = usize> {
    table.columns.iter().map(|column| {
        let words = column.name.split(' ').map(|word| word.chars().count());
        words.max().unwrap_or_default().max(LONGEST_NUMBER) + CELL_PADDING
    })
}

/// Characters of the longest number with its unit that may occur.
const LONGEST_NUMBER: usize = "1000.0/s".len();
/// Characters around the text of a cell. Between two cells there is one more.
const CELL_PADDING: usize = 2;

/// Returns the table of numbers.
fn data_table(data: &DataTable, width: Option<u16>) -> Table {
    let mut table = styled_table(data.columns.iter().map(|column| &column.name), width);
    table.add_rows(data.rows.iter().map(|row| number::row(data, row)));
    for (column, least) in table.column_iter_mut().zip(least_widths(data)) {
        let least = Width::Fixed(least.try_into().unwrap_or(u16::MAX));
        column.set_constraint(ColumnConstraint::LowerBoundary(least));
    }
    table
}

/// Writes each row of a table of numbers as a few lines.
fn write_rows(table: &DataTable, columns: usize, to: &mut dyn Write) -> io::Result<()> {
    for row in &table.rows {
        let cells = table.columns.iter().zip(number::row(table, row));
        let cells = cells.map(|(column, cell)| format!("{} {cell}", column.name));
        let cells: Vec<String> = cells.collect();
        writeln!(
            to,
            "{}",
            wrap(&format!("  {}", cells.join("; ")), columns, 4)
        )?;
    }
    Ok(())
}

fn verdict(verdict: Verdict) -> String {
    let colour = match verdict {
        Verdict::Confirmed => AnsiColor::Green,
        Verdict::Contradicted => AnsiColor::Red,
        Verdict::Void | Verdict::NotHere | Verdict::Interrupted => AnsiColor::Yellow,
    };
    bold(colour, verdict.as_str())
}

fn bold(colour: AnsiColor, text: &str) -> String {
    styled(Style::new().bold().fg_color(Some(colour.into())), text)
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::experiment::LabServer;
    use crate::experiment::report::{Column, CpuWait, Generator, Prediction, Setting};

    fn run() -> Run {
        let setting = Setting {
            server: "sync",
            via: "front",
            threads: 1,
            pool_threads: None,
            wait_seconds: 20.0,
            load: "/, after 0.50 s /dummy".into(),
        };
        let mut run = Run {
            name: "article",
            question: "Does /dummy wait for /?",
            model: "Each server has one thread, and that is all there is to it, however long the sentence becomes.",
            verdict: Verdict::Contradicted,
            reason: None,
            cpu_wait: Default::default(),
            notes: Vec::new(),
            findings: Vec::new(),
            timelines: Vec::new(),
            curves: Vec::new(),
            tables: Vec::new(),
            generator: Generator::default(),
            took_seconds: 20.0,
        };
        let about = |low, high| {
            Prediction::between(
                "latency of /dummy",
                Unit::Seconds,
                low,
                high,
                "the rest of the wait",
            )
        };
        run.judge(&setting, about(17.0, 21.0), 19.51);
        run.judge(&setting, about(1.0, 2.0), 19.51);
        run.note_rows(2, "the thread is slow");
        run.cpu_wait = CpuWait(vec![(LabServer::Sync, 0.02), (LabServer::Async, 0.0)]);
        run
    }

    fn text(run: &Run, width: Option<u16>) -> String {
        let mut text = Vec::new();
        write_run(run, width, &mut text).unwrap();
        strip_str(&String::from_utf8(text).unwrap()).to_string()
    }

    #[test]
    fn narrow_terminals_get_a_record_per_finding() {
        let text = text(&run(), Some(80));
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(!text.contains('─'), "{text}");
        for words in [
            "  1  sync, 1 thread, wait 20.00 s: /, after 0.50 s /dummy\n",
            "     latency of /dummy: 19.51 s, predicted 17.00 s to 21.00 s\n     as predicted\n",
            "     not as predicted\n",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn tables_fit_the_terminal() {
        for width in [100, 120, 200] {
            let text = text(&run(), Some(width));
            let fits = text
                .lines()
                .all(|line| line.chars().count() <= width.into());
            assert!(fits && text.contains('─'), "{width}: {text}");
        }
    }

    #[test]
    fn tables_of_numbers_do_not_break_words() {
        let names = [
            "connections",
            "rate",
            "p50, formula",
            "p50, measured",
            "p99, formula",
            "p99, measured",
        ];
        let mut run = run();
        run.tables.push(DataTable {
            title: "Latency by pool, with a title that is long enough to be wrapped on a narrow terminal".into(),
            source: "M/D/c queue",
            columns: names.map(|name| Column::new(name, Unit::Seconds)).into(),
            rows: vec![vec![1.0, 2.0, 0.04, 0.069, 0.132, 0.184]],
        });
        for width in [50, 66, 69, 70, 75, 80, 99, 120] {
            let text = text(&run, Some(width));
            for words in ["connections", "measured", "formula", "69 ms", "184 ms"] {
                assert!(text.contains(words), "{width}, {words}: {text}");
            }
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width.into()), "{width}: {text}");
        }
        let narrow = text(&run, Some(50));
        let record =
            "  connections 1.00 s; rate 2.00 s; p50, formula 40\n    ms; p50, measured 69 ms;";
        assert!(narrow.contains(record), "{narrow}");
    }

    #[test]
    fn reasons_and_notes_name_their_rows() {
        let text = text(&run(), None);
        for words in [
            "\n  rows 1, 2, latency of /dummy: the rest of the wait\n",
            "\n  row 2: the thread is slow\n",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn every_verdict_states_the_wait_for_a_cpu_and_a_void_its_reason() {
        let mut run = run();
        let end = "threads waited for a CPU: sync 20 ms, async 0 ms\n";
        for verdict in [Verdict::Confirmed, Verdict::Contradicted] {
            run.verdict = verdict;
            let line = format!("\n  {} after 20.0 s; {end}", verdict.as_str());
            assert!(text(&run, None).contains(&line), "{}", text(&run, None));
        }
        run.verdict = Verdict::Void;
        run.reason = Some("the machine is too busy".into());
        let line = format!("\n  void after 20.0 s: the machine is too busy; {end}");
        assert!(text(&run, None).contains(&line), "{}", text(&run, None));
    }
}
