//! Numbers and findings as text.

use std::fmt;

use crate::experiment::plural::plural;
use crate::experiment::report::{
    DataTable, Finding, Generator, Prediction, Run, Setting, Unit, Verdict,
};

/// Formats a number in its unit.
pub(super) fn number(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "failed".into();
    }
    match unit {
        Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::PerSecond => format!("{value:.1}/s"),
        Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.1}"),
        Unit::Bytes => format!("{:.1} KiB", value / 1024.0),
    }
}

/// Formats the cells of a row of a table.
pub(super) fn row(table: &DataTable, row: &[f64]) -> Vec<String> {
    let cells = table.columns.iter().zip(row);
    cells
        .map(|(column, value)| number(*value, column.unit))
        .collect()
}

/// Formats a predicted range.
pub(super) fn range(prediction: &Prediction) -> String {
    let number = |value| number(value, prediction.unit);
    match (prediction.low, prediction.high) {
        (low, high) if low == high => number(low),
        (low, high) if high.is_infinite() => format!("≥ {}", number(low)),
        (low, high) if low <= 0.0 => format!("≤ {}", number(high)),
        (low, high) => format!("{} to {}", number(low), number(high)),
    }
}

/// Formats the server with its thread count, blocking pool and route.
pub(super) fn server(setting: &Setting) -> String {
    let threads = plural(setting.threads, "thread");
    let pool = setting.pool_threads;
    let pool = pool.map_or(String::new(), |threads| format!(", pool of {threads}"));
    let route = match setting.via {
        "direct" => ", direct",
        _ => "",
    };
    format!("{}, {threads}{pool}{route}", setting.server)
}

/// Returns the cells of a finding in the order of [`HEADINGS`]. `row` is its number, counted from 1.
pub(super) fn cells(row: usize, finding: &Finding) -> [String; 8] {
    let Finding {
        setting,
        prediction,
        observed,
        ..
    } = finding;
    [
        row.to_string(),
        server(setting),
        number(setting.wait_seconds, Unit::Seconds),
        setting.load.clone(),
        prediction.quantity.clone(),
        range(prediction),
        number(*observed, prediction.unit),
        result(finding).into(),
    ]
}

/// Returns whether a finding is as predicted, as text.
pub(super) fn result(finding: &Finding) -> &'static str {
    if finding.holds {
        "as predicted"
    } else {
        "not as predicted"
    }
}

/// Column headings of a table of findings.
pub(super) const HEADINGS: [&str; 8] = [
    "row",
    "server",
    "wait",
    "load",
    "quantity",
    "predicted",
    "observed",
    "",
];

/// Formats the verdict with the reason for it, the duration of the run, and the time for which the servers'
/// threads waited for a CPU. A run without an end has neither.
pub(super) fn conclusion(run: &Run, verdict: &str) -> String {
    let reason = run.reason.as_ref();
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    match run.verdict {
        Verdict::Interrupted | Verdict::NotHere => format!("{verdict}{reason}"),
        _ => {
            let waits = run.cpu_wait.0.iter();
            let waits = waits
                .map(|(server, waited)| format!("{server} {}", number(*waited, Unit::Seconds)));
            let waits: Vec<String> = waits.collect();
            format!(
                "{verdict} after {:.1} s{reason}; threads waited for a CPU: {}",
                run.took_seconds,
                waits.join(", ")
            )
        }
    }
}

/// Formats the quality of the generated load; `None` for a run without one, or whose load was not measured to its end.
pub(super) fn generator(generator: &Generator) -> Option<String> {
    (generator.requests > 0).then(|| {
        format!(
            "{}, sent at most {} late (p99 {}); the load generator used {:.0} % of a CPU",
            plural(generator.requests, "request"),
            number(generator.lag_max_seconds, Unit::Seconds),
            number(generator.lag_p99_seconds, Unit::Seconds),
            generator.cpu_share * 100.0
        )
    })
}

/// Reason of a predicted range, with the findings that share it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reason<'a> {
    rows: Vec<usize>,
    quantity: &'a str,
    because: &'static str,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<String> = self.rows.iter().map(usize::to_string).collect();
        let suffix = if rows.len() == 1 { "" } else { "s" };
        let (rows, quantity, because) = (rows.join(", "), self.quantity, self.because);
        write!(formatter, "row{suffix} {rows}, {quantity}: {because}")
    }
}

/// Returns each reason once, in the order of the findings.
pub(super) fn reasons(findings: &[Finding]) -> Vec<Reason<'_>> {
    let mut reasons: Vec<Reason<'_>> = Vec::new();
    for (index, finding) in findings.iter().enumerate() {
        let (row, prediction) = (index + 1, &finding.prediction);
        let same = reasons.iter_mut().find(|reason| {
            reason.quantity == prediction.quantity && reason.because == prediction.because
        });
        match same {
            Some(reason) => reason.rows.push(row),
            None => reasons.push(Reason {
                rows: vec![row],
                quantity: &prediction.quantity,
                because: prediction.because,
            }),
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_stated_only_if_it_was_measured() {
        assert_eq!(generator(&Generator::default()), None);
        let measured = Generator {
            requests: 1,
            ..Generator::default()
        };
        let text = generator(&measured).unwrap();
        assert!(
            text.starts_with("1 request, sent at most 0 ms late"),
            "{text}"
        );
    }
}
