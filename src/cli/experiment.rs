//! `threadlab experiment`: runs experiments against a lab and reports the results.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use super::defaults::{METRICS, shifted};
use super::guess;
use super::output::print;
use super::up::Servers;
use super::value::{self, SecondsArg, host_and_port};
use crate::experiment::report::{Report, Run, Verdict};
use crate::experiment::{
    self, ALL, COMPARISONS, CapacityPlan, LabAddresses, LabServer, Outcome, RunConfig, reporter,
};
use crate::serve::raise_file_limit;

/// Arguments of `threadlab experiment`.
#[derive(Debug, Clone, Args)]
pub(super) struct ExperimentArgs {
    /// Experiments to run; `list` lists them, `all` runs all of them
    #[arg(required = true, value_name = "NAME", value_parser = PossibleValuesParser::new(names()))]
    names: Vec<String>,
    /// URL of the front
    #[arg(long, env = "THREADLAB_URL", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = front)]
    url: String,
    /// Metrics ports, separated by commas; together they must export both servers
    #[arg(
        long,
        env = "THREADLAB_METRICS",
        default_value = METRICS,
        value_delimiter = ',',
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    metrics: Vec<String>,
    /// Metrics ports of the processes that watch the article's programs, separated by commas; for --servers
    #[arg(
        long,
        env = "THREADLAB_WATCHERS",
        value_delimiter = ',',
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    watchers: Vec<String>,
    #[command(flatten)]
    addresses: Servers,
    /// Servers that `article`, `matrix` and `drivers` compare, separated by commas. flask and fastapi are the article's
    /// programs, gunicorn and gthread run the former with one thread and with four (in Compose: --profile originals)
    #[arg(
        long,
        env = "THREADLAB_SERVERS",
        default_value = "sync,async",
        value_delimiter = ',',
        value_name = "SERVER"
    )]
    servers: Vec<LabServer>,
    /// Wait of the article's / in seconds; the waits and loads of all experiments are derived from it
    #[arg(long, env = "THREADLAB_SECONDS", default_value = "20", value_name = "SECONDS", value_parser = wait)]
    seconds: Duration,
    /// Format of the report
    #[arg(long, env = "THREADLAB_FORMAT", default_value = "table")]
    format: FormatArg,
    /// Asks for your predictions before the run and scores them after it
    #[arg(long, env = "THREADLAB_GUESS", num_args = 0, action = clap::ArgAction::SetTrue)]
    guess: bool,
    #[command(flatten)]
    plan: Plan,
    /// Directory for the report as index.html (a page with plots) and report.json; created if it does not exist
    #[arg(long, env = "THREADLAB_OUT", value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Your own numbers for the experiment `capacity`.
#[derive(Debug, Clone, Args)]
struct PlanArgs {
    /// For `capacity`: your requests per second; prints the threads needed, and measures latencies at several loads
    #[arg(long, env = "THREADLAB_RATE", value_name = "PER_SECOND", requires = "hold", value_parser = rate)]
    rate: Option<f64>,
    /// With --rate: seconds for which each request holds a thread
    #[arg(id = "hold", long = "wait", env = "THREADLAB_WAIT", value_name = "SECONDS", requires = "rate", value_parser = value::timeout)]
    wait: Option<SecondsArg>,
    /// With --rate: threads of the synchronous server, which must run with as many
    #[arg(long, env = "THREADLAB_THREADS", value_name = "N", default_value = "1", value_parser = value::threads)]
    threads: NonZeroUsize,
    /// With --rate: largest acceptable 99th percentile of the latency, in seconds
    #[arg(long, env = "THREADLAB_TARGET_P99", value_name = "SECONDS", requires = "rate", value_parser = value::timeout)]
    target_p99: Option<SecondsArg>,
}

/// [`PlanArgs`], of which none may be given for nothing.
#[derive(Debug, Clone)]
struct Plan(PlanArgs);

impl FromArgMatches for Plan {
    fn from_arg_matches(matches: &ArgMatches) -> clap::error::Result<Self> {
        let plan = PlanArgs::from_arg_matches(matches)?;
        // Unlike `requires`, this allows the variable, which `up` and `serve` have, too.
        let is_given = matches.value_source("threads") == Some(ValueSource::CommandLine);
        if is_given && plan.rate.is_none() {
            // In the form in which clap reports what `requires` misses.
            let mut error = clap::Error::new(ErrorKind::MissingRequiredArgument);
            let missing = ["--rate <PER_SECOND>", "--wait <SECONDS>"].map(str::to_owned);
            error.insert(
                ContextKind::InvalidArg,
                ContextValue::Strings(missing.into()),
            );
            let tip = "--threads is for the experiment capacity; the others run with the threads of the lab";
            error.insert(
                ContextKind::Suggested,
                ContextValue::StyledStrs(vec![tip.into()]),
            );
            return Err(error);
        }
        Ok(Self(plan))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> clap::error::Result<()> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Plan {
    fn augment_args(command: Command) -> Command {
        PlanArgs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        PlanArgs::augment_args_for_update(command)
    }
}

impl PlanArgs {
    fn plan(&self) -> Option<CapacityPlan> {
        Some(CapacityPlan {
            rate: self.rate?,
            wait: self.wait?.0,
            threads: self.threads.get(),
            target_p99: self.target_p99.map(|target| target.0),
        })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate| (0.1..=10_000.0).contains(rate))
        .ok_or_else(|| "expected requests per second from 0.1 to 10000".into())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    /// For a terminal
    Table,
    /// For programs
    Json,
    /// For a document
    Markdown,
}

fn names() -> impl Iterator<Item = &'static str> {
    let names = ALL.iter().map(|experiment| experiment.name);
    names.chain(["all", "list"])
}

/// Parses a URL without a path and returns its `HOST:PORT`.
fn front(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    let path = uri.path_and_query().map(|path| path.as_str());
    match (uri.scheme_str(), uri.authority(), path) {
        (Some("http"), Some(authority), Some("/")) => {
            let port = authority.port_u16().unwrap_or(80);
            Ok(format!("{}:{port}", authority.host()))
        }
        _ => Err("expected http://HOST[:PORT], e.g. http://127.0.0.1:8080".into()),
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.5..=120.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds from 0.5 to 120".into())
}

/// Runs the experiments. The exit status is 0 if all are confirmed, 1 if one is contradicted or the lab
/// failed, 3 if one is void, 4 if none was available on this lab, and 130 after Ctrl-C.
pub(super) fn run(arguments: ExperimentArgs) -> anyhow::Result<ExitCode> {
    if arguments.names.iter().any(|name| name == "list") {
        return list();
    }
    if let Some(directory) = &arguments.out {
        prepare(directory).with_context(|| cannot_write(directory))?;
    }
    if arguments.plan.0.rate.is_some() && !arguments.names.iter().any(|name| name == "capacity") {
        bail!("--rate is for the experiment capacity: threadlab experiment capacity --rate ...");
    }
    let servers = distinct(arguments.servers);
    let compares = |name: &String| name == "all" || COMPARISONS.contains(&name.as_str());
    if servers != LabServer::OWN && !arguments.names.iter().any(compares) {
        bail!(
            "--servers is for the experiments {}; the others run on sync and async",
            COMPARISONS.join(", ")
        );
    }
    raise_file_limit();
    let all = arguments.names.iter().any(|name| name == "all");
    let chosen = ALL
        .iter()
        .filter(|one| all || arguments.names.iter().any(|name| name == one.name));
    let ports = arguments.addresses.ports;
    let shift = |text| shifted(text, ports);
    let config = RunConfig {
        addresses: LabAddresses {
            front: shift(arguments.url),
            metrics: arguments.metrics.into_iter().map(shift).collect(),
            watchers: arguments.watchers,
            sync: shift(arguments.addresses.sync),
            r#async: shift(arguments.addresses.r#async),
        },
        wait: arguments.seconds,
        servers,
        plan: arguments.plan.0.plan(),
    };
    let chosen: Vec<_> = chosen.collect();
    let guesses = match arguments.guess {
        true => guess::ask(
            &chosen,
            config.wait,
            &mut io::stdin().lock(),
            &mut io::stderr(),
        )?,
        false => Vec::new(),
    };
    let outcome = experiment::run(&config, &chosen)?;
    print(|stdout| reporter::write(&outcome.report, arguments.format.into(), stdout))?;
    // On stderr, so that stdout is the report alone.
    guess::score(&guesses, &outcome.report, &mut io::stderr())?;
    if let Some(directory) = &arguments.out {
        save(&outcome.report, directory).with_context(|| cannot_write(directory))?;
    }
    match outcome.error {
        Some(error) => Err(error.into()),
        None => Ok(status(&outcome)),
    }
}

impl From<FormatArg> for reporter::Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Table => Self::Table {
                width: reporter::columns(io::stdout()),
            },
            FormatArg::Json => Self::Json,
            FormatArg::Markdown => Self::Markdown,
        }
    }
}

/// Returns the servers in their order, each once.
fn distinct(servers: Vec<LabServer>) -> Vec<LabServer> {
    let mut distinct = Vec::new();
    for server in servers {
        if !distinct.contains(&server) {
            distinct.push(server);
        }
    }
    distinct
}

fn cannot_write(directory: &Path) -> String {
    format!("cannot write the report to {} (--out)", directory.display())
}

/// Creates the directory of a report, and checks that files can be written there. Called before the run, to fail early.
fn prepare(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    Partial::write(directory, "index.html", b"")?;
    Ok(())
}

/// A file that takes its place when it is complete: a full disk leaves that of an earlier call as it is.
struct Partial {
    path: PathBuf,
    place: PathBuf,
}

impl Partial {
    fn write(directory: &Path, name: &str, contents: &[u8]) -> io::Result<Self> {
        let partial = Self {
            path: directory.join(format!("{name}.partial")),
            place: directory.join(name),
        };
        fs::write(&partial.path, contents)?;
        Ok(partial)
    }

    fn finish(self) -> io::Result<()> {
        fs::rename(&self.path, &self.place)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It does not exist any more if it has taken its place.
        let _ = fs::remove_file(&self.path);
    }
}

fn save(report: &Report, directory: &Path) -> io::Result<()> {
    // Without a result, that of an earlier call stays.
    let has_result = |run: &Run| run.verdict != Verdict::Interrupted || !run.findings.is_empty();
    if !report.runs.iter().any(has_result) && directory.join("report.json").exists() {
        return Ok(());
    }
    let (mut page, mut json) = (Vec::new(), Vec::new());
    reporter::html::write(report, &mut page)?;
    reporter::write(report, reporter::Format::Json, &mut json)?;
    let page = Partial::write(directory, "index.html", &page)?;
    let json = Partial::write(directory, "report.json", &json)?;
    page.finish()?;
    json.finish()
}

fn status(outcome: &Outcome) -> ExitCode {
    let runs = &outcome.report.runs;
    let any = |verdict| runs.iter().any(|run| run.verdict == verdict);
    if any(Verdict::Contradicted) {
        ExitCode::FAILURE
    } else if outcome.interrupted {
        ExitCode::from(130)
    } else if any(Verdict::Void) {
        ExitCode::from(3)
    } else if runs.iter().all(|run| run.verdict == Verdict::NotHere) {
        ExitCode::from(4)
    } else {
        ExitCode::SUCCESS
    }
}

fn list() -> anyhow::Result<ExitCode> {
    print(|stdout| {
        ALL.iter().try_for_each(|experiment| {
            writeln!(stdout, "{:<12} {}", experiment.name, experiment.question)
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_cannot_be_written_leaves_the_earlier_one() {
        let directory = std::env::temp_dir().join(format!("threadlab-{}", std::process::id()));
        let page = directory.join("index.html");
        prepare(&directory).unwrap();
        assert!(fs::read_dir(&directory).unwrap().next().is_none());
        fs::write(&page, "earlier").unwrap();
        // In place of a disk that is full after the page.
        let obstacle = directory.join("report.json.partial");
        fs::create_dir(&obstacle).unwrap();
        let report = Report::without_runs();
        assert!(save(&report, &directory).is_err());
        assert_eq!(fs::read_to_string(&page).unwrap(), "earlier");
        fs::remove_dir(obstacle).unwrap();
        save(&report, &directory).unwrap();
        let names = fs::read_dir(&directory).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["index.html", "report.json"]);
        fs::remove_dir_all(directory).unwrap();
    }
}
