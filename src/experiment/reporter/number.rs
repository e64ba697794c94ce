//! Numbers and findings as text.

use crate::experiment::plural::plural;
use crate::experiment::report::{Finding, Generator, Prediction, Run, Setting, Unit, Verdict};

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

/// Returns the cells of a finding in the order of [`HEADINGS`].
pub(super) fn cells(finding: &Finding) -> [String; 7] {
    let Finding {
        setting,
        prediction,
        observed,
        holds,
    } = finding;
    [
        server(setting),
        number(setting.wait_seconds, Unit::Seconds),
        setting.load.clone(),
        prediction.quantity.clone(),
        range(prediction),
        number(*observed, prediction.unit),
        if *holds {
            "as predicted"
        } else {
            "not as predicted"
        }
        .into(),
    ]
}

/// Column headings of a table of findings.
pub(super) const HEADINGS: [&str; 7] = [
    "server",
    "wait",
    "load",
    "quantity",
    "predicted",
    "observed",
    "",
];

/// Formats the verdict with the duration of the run, unless the run has no end.
pub(super) fn conclusion(run: &Run, verdict: &str) -> String {
    match run.verdict {
        Verdict::Interrupted | Verdict::NotHere => verdict.to_owned(),
        _ => format!("{verdict} after {:.1} s", run.took_seconds),
    }
}

/// Formats the quality of the generated load.
pub(super) fn generator(generator: &Generator) -> String {
    format!(
        "{}, sent at most {} late (p99 {}); the load generator used {:.0} % of a CPU",
        plural(generator.requests, "request"),
        number(generator.lag_max_seconds, Unit::Seconds),
        number(generator.lag_p99_seconds, Unit::Seconds),
        generator.cpu_share * 100.0
    )
}

/// Returns each reason once, with its quantity, in the order of the findings.
pub(super) fn reasons(findings: &[Finding]) -> Vec<(&str, &'static str)> {
    let mut reasons: Vec<(&str, &'static str)> = Vec::new();
    for finding in findings {
        let reason = (
            finding.prediction.quantity.as_str(),
            finding.prediction.because,
        );
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}
