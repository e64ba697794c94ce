//! `threadlab watch`: the thread states of any server, from outside.

use std::process::ExitCode;

use clap::Args;

use super::metrics_args::MetricsArgs;
#[cfg(target_os = "linux")]
use crate::watch::NamedTarget;

/// Flags of `watch`.
#[derive(Debug, Args)]
pub(super) struct WatchCommand {
    /// A server to watch: a name of your choice, and a process number, port:PORT or comm:COMMAND. Without any:
    /// every process of the network namespace that listens on a TCP port
    #[arg(
        long = "name",
        env = "THREADLAB_NAME",
        value_name = "NAME=TARGET",
        value_delimiter = ','
    )]
    #[cfg(target_os = "linux")]
    targets: Vec<NamedTarget>,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Reads of each thread's counters per second, at most
    #[arg(long, env = "THREADLAB_HZ", default_value = "50", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    hz: u32,
    /// CPU time that watching may use, as a share of one core. Reads become rarer to stay within it
    #[arg(long, env = "THREADLAB_BUDGET", default_value = "2%", value_name = "PERCENT", value_parser = percent)]
    budget: f64,
    /// Also show threads that only ever wait, e.g. idle helpers of a runtime
    #[arg(long, env = "THREADLAB_ALL_THREADS")]
    all_threads: bool,
}

/// A share from a percentage, with or without its sign.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse();
    match number {
        Ok(percent) if (0.1..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("expected a percentage from 0.1% to 100%, e.g. 2%".into()),
    }
}

/// Watches until a signal ends it.
///
/// # Errors
///
/// When two targets have one name, the address of the metrics is taken, or a thread cannot be started.
#[cfg(target_os = "linux")]
pub(super) fn run(command: WatchCommand) -> anyhow::Result<ExitCode> {
    distinct(&command.targets)?;
    let settings = crate::watch::WatchSettings {
        targets: command.targets,
        hz: command.hz.into(),
        budget: command.budget,
        all_threads: command.all_threads,
    };
    let metrics = command.metrics.address(|text| text);
    crate::serve::watch(settings, &metrics, command.metrics.metrics_names)
}

/// Returns an error if two targets have one name: their series would be the same.
#[cfg(target_os = "linux")]
fn distinct(targets: &[NamedTarget]) -> anyhow::Result<()> {
    let mut names = std::collections::BTreeSet::new();
    match targets.iter().find(|target| !names.insert(&target.name)) {
        Some(target) => anyhow::bail!(
            "--name {0}=... is given twice; each target needs a name of its own, which is the label server of its metrics",
            target.name
        ),
        None => Ok(()),
    }
}

/// Watching needs Linux.
///
/// # Errors
///
/// Always.
#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: WatchCommand) -> anyhow::Result<ExitCode> {
    anyhow::bail!("watch needs Linux: it reads /proc and sock_diag")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn each_target_has_a_name_of_its_own() {
        let targets = |names: [&str; 2]| names.map(|name| format!("{name}=1").parse().unwrap());
        assert!(distinct(&targets(["a", "b"])).is_ok());
        let error = distinct(&targets(["a", "a"])).unwrap_err().to_string();
        assert!(error.starts_with("--name a=... is given twice"), "{error}");
    }

    #[test]
    fn a_budget_is_a_percentage() {
        assert_eq!(percent("2%"), Ok(0.02));
        assert_eq!(percent("0.5"), Ok(0.005));
        for bad in ["", "%", "0", "101%", "-1%", "NaN", "two"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
