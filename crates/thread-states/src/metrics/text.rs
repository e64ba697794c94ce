//! Prometheus' text format, version 0.0.4: headers and lines.
//!
//! A server of many threads has tens of thousands of lines, so a line is written without `write!`, which takes several
//! times as long.

use std::fmt::Write;

use super::collector::Labels;
use super::histogram::HistogramCounts;
use super::list::Metric;
use crate::accounting::Nanos;

/// Writes the help text and the type of a metric.
pub(super) fn write_header(text: &mut String, metric: &Metric) {
    let (name, kind) = (metric.name, metric.kind.as_str());
    let help = metric.help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Writes a series with one value.
pub(super) fn write_line(text: &mut String, name: &str, labels: Labels<'_>, value: f64) {
    write_value(text, name, "", labels, value);
}

/// Writes the series of a histogram.
pub(super) fn write_histogram(
    text: &mut String,
    name: &str,
    labels: Labels<'_>,
    bounds: &[f64],
    counts: &HistogramCounts,
) {
    let mut bound_text = String::new();
    for (bound, count) in bounds.iter().zip(&counts.cumulative) {
        bound_text.clear();
        write_number(&mut bound_text, *bound);
        let labels = with_bound(labels, &bound_text);
        write_value(text, name, "_bucket", &labels, *count as f64);
    }
    let all = with_bound(labels, "+Inf");
    write_value(text, name, "_bucket", &all, counts.count as f64);
    write_value(text, name, "_sum", labels, counts.sum);
    write_value(text, name, "_count", labels, counts.count as f64);
}

fn with_bound<'a>(labels: Labels<'a>, bound: &'a str) -> Vec<(&'static str, &'a str)> {
    [labels, &[("le", bound)]].concat()
}

fn write_value(text: &mut String, name: &str, suffix: &str, labels: Labels<'_>, value: f64) {
    text.push_str(name);
    text.push_str(suffix);
    write_labels(text, labels);
    text.push(' ');
    write_number(text, value);
    text.push('\n');
}

fn write_labels(text: &mut String, labels: Labels<'_>) {
    let mut before = '{';
    for (label, value) in labels {
        text.push(before);
        text.push_str(label);
        text.push_str("=\"");
        write_label(text, value);
        text.push('"');
        before = ',';
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

fn write_label(text: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        return text.push_str(value);
    }
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

/// Writes a number as its shortest decimal.
fn write_number(text: &mut String, value: f64) {
    // Counts; above 2⁵³ not every whole number is an `f64`.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if (0.0..WHOLE).contains(&value) && value.fract() == 0.0 {
        text.push_str(itoa::Buffer::new().format(value as u64));
    } else {
        let _ = write!(text, "{value}");
    }
}

/// Writes a time in seconds, exactly.
fn write_seconds(text: &mut String, time: Nanos) {
    const SECOND: u64 = 1_000_000_000;
    let (seconds, nanoseconds) = (time.as_nanos() / SECOND, time.as_nanos() % SECOND);
    text.push_str(itoa::Buffer::new().format(seconds));
    if nanoseconds > 0 {
        // With a digit in front, so that it has its leading zeroes.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(SECOND + nanoseconds);
        text.push('.');
        text.push_str(digits[1..].trim_end_matches('0'));
    }
}

/// Lines of a metric that every thread has, which differ in the thread, the last label and the time.
pub(super) struct ThreadLines {
    /// The text up to the thread's index.
    before: String,
    /// The rest of each line of a thread.
    rest: Vec<Rest>,
}

/// The text of a line after the thread's index, and the next line of the thread up to there.
struct Rest {
    /// The text between the index and the time.
    before_time: String,
    /// The text after the time.
    after_time: String,
    /// The whole text if the time is zero, as most are: a thread is in one state, and was blocked on few things.
    with_zero: String,
}

impl ThreadLines {
    /// Prepares lines with `labels`, the index of the thread as the label `thread`, and one of the `last` labels.
    pub(super) fn new(
        name: &str,
        labels: Labels<'_>,
        thread: &str,
        last: &[Option<(&'static str, &'static str)>],
    ) -> Self {
        let mut before = name.to_owned();
        write_labels(&mut before, labels);
        before.pop();
        let _ = write!(before, ",{thread}=\"");
        let columns = last.len();
        let rest = |(index, last): (usize, &Option<(&str, &str)>)| {
            let before_time = match last {
                Some((label, value)) => format!("\",{label}=\"{value}\"}} "),
                None => "\"} ".to_owned(),
            };
            let has_next = index + 1 < columns;
            let next = if has_next { &*before } else { "" };
            let after_time = format!("\n{next}");
            let with_zero = format!("{before_time}0{after_time}");
            Rest {
                before_time,
                after_time,
                with_zero,
            }
        };
        let rest = last.iter().enumerate().map(rest).collect();
        Self { before, rest }
    }

    /// Writes the lines of one thread, with the time of each.
    pub(super) fn write(&self, text: &mut String, thread: usize, times: &[Nanos]) {
        let mut digits = itoa::Buffer::new();
        let thread = digits.format(thread);
        text.push_str(&self.before);
        for (rest, time) in self.rest.iter().zip(times) {
            text.push_str(thread);
            if *time == Nanos::ZERO {
                text.push_str(&rest.with_zero);
                continue;
            }
            text.push_str(&rest.before_time);
            write_seconds(text, *time);
            text.push_str(&rest.after_time);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(nanoseconds: u64) -> String {
        let mut text = String::new();
        write_seconds(&mut text, Nanos::from_nanos(nanoseconds));
        text
    }

    #[test]
    fn seconds_have_as_many_decimals_as_the_time_needs() {
        for (nanoseconds, expected) in [
            (0, "0"),
            (1, "0.000000001"),
            (10_500_000_000, "10.5"),
            (3_000_000_000, "3"),
            (1_234_567_890_123_456_789, "1234567890.123456789"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(seconds(nanoseconds), expected);
        }
    }

    #[test]
    fn numbers_are_written_as_rust_displays_them() {
        for value in [
            0.0,
            1.0,
            0.000_5,
            -2.0,
            9e15,
            1e16,
            1e300,
            f64::INFINITY,
            f64::NAN,
        ] {
            let mut text = String::new();
            write_number(&mut text, value);
            assert_eq!(text, value.to_string());
        }
    }

    proptest! {
        #[test]
        fn seconds_are_the_nearest_floating_point_number(nanoseconds in 0..1_u64 << 50) {
            let parsed: f64 = seconds(nanoseconds).parse().unwrap();
            prop_assert_eq!(parsed, Nanos::from_nanos(nanoseconds).as_secs_f64());
        }
    }
}
