//! Verdicts of experiments on a machine that other tests and programs use, too.

use serde_json::Value;

use crate::lanes::alone;
use crate::quiet::{becomes_quiet_beside, not_verified, repeated};

/// CPUs that the containers of all stacks use while no test runs, for health checks and scrapes.
const STACKS: f64 = 0.5;
/// Repetitions of an experiment with another verdict than the expected one.
const REPETITIONS: usize = 3;

/// Repeats experiments that have another verdict than the expected one while no other test runs. Returns false if they
/// still have on a machine that other programs keep busy, which is reported as not verified.
///
/// `again` runs the experiments of these names and returns those with another verdict than the expected one.
///
/// # Panics
///
/// If an experiment has another verdict on a quiet machine.
pub fn as_expected(mut wrong: Vec<Value>, again: impl Fn(&[&str]) -> Vec<Value>) -> bool {
    for _ in 0..REPETITIONS {
        if wrong.is_empty() {
            return true;
        }
        let reasons = described(&wrong);
        let names = wrong.iter().map(|run| run["name"].as_str().unwrap());
        let names: Vec<&str> = names.collect();
        let (is_quiet, still) = alone(|| {
            let is_quiet = becomes_quiet_beside(STACKS);
            repeated(reasons);
            (is_quiet, again(&names))
        });
        wrong = still;
        if wrong.is_empty() {
            return true;
        }
        if !is_quiet {
            not_verified(described(&wrong));
            return false;
        }
        if let Some(run) = wrong.iter().find(|run| run["verdict"] != "void") {
            panic!("{run:#}");
        }
    }
    panic!("void each time: {}", described(&wrong));
}

/// A line about runs: why they are void, and predictions that do not hold.
fn described(runs: &[Value]) -> String {
    let of_one = |run: &Value| {
        let findings = run["findings"].as_array().into_iter().flatten();
        let failed = findings.filter(|finding| finding["holds"] == false);
        let failed = failed.map(|finding| {
            let number = |name: &str| finding[name].as_f64().unwrap_or(f64::NAN);
            format!(
                ", {}: {:.3}, not {:.3} to {:.3}",
                finding["quantity"],
                number("observed"),
                number("low"),
                number("high")
            )
        });
        let failed: String = failed.collect();
        format!(
            "{} is {}: {}{failed}",
            run["name"], run["verdict"], run["notes"]
        )
    };
    runs.iter().map(of_one).collect::<Vec<_>>().join("; ")
}
