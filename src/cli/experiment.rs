//! `threadlab experiment`: runs experiments against a lab and reports the results.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum, builder::PossibleValuesParser};

use super::output::{self, print};
use super::up::Servers;
use super::value::host_and_port;
use crate::experiment::report::{Report, Verdict};
use crate::experiment::{self, ALL, LabAddresses, RunConfig, reporter};
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
        default_value = "127.0.0.1:9100",
        value_delimiter = ',',
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    metrics: Vec<String>,
    #[command(flatten)]
    servers: Servers,
    /// Wait of the article's / in seconds; the waits and loads of all experiments are derived from it
    #[arg(long, env = "THREADLAB_SECONDS", default_value = "20", value_name = "SECONDS", value_parser = wait)]
    seconds: Duration,
    /// Format of the report
    #[arg(long, env = "THREADLAB_FORMAT", default_value = "table")]
    format: FormatArg,
    /// Directory for the report as index.html (a page with plots) and report.json; created if it does not exist
    #[arg(long, env = "THREADLAB_OUT", value_name = "DIR")]
    out: Option<PathBuf>,
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
    match (uri.scheme_str(), uri.authority(), uri.path()) {
        (Some("http"), Some(authority), "/") => {
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
        open_files(directory).with_context(|| cannot_write(directory))?;
    }
    raise_file_limit();
    let all = arguments.names.iter().any(|name| name == "all");
    let chosen = ALL
        .iter()
        .filter(|one| all || arguments.names.iter().any(|name| name == one.name));
    let config = RunConfig {
        addresses: LabAddresses {
            front: arguments.url,
            metrics: arguments.metrics,
            sync: arguments.servers.sync,
            r#async: arguments.servers.r#async,
        },
        wait: arguments.seconds,
    };
    let outcome = experiment::run(&config, &chosen.collect::<Vec<_>>())?;
    print(|stdout| reporter::write(&outcome.report, arguments.format.into(), stdout))?;
    if let Some(directory) = &arguments.out {
        save(&outcome.report, directory).with_context(|| cannot_write(directory))?;
    }
    match outcome.error {
        Some(error) => Err(error.into()),
        None => Ok(status(&outcome.report)),
    }
}

impl From<FormatArg> for reporter::Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Table => Self::Table {
                width: output::width(),
            },
            FormatArg::Json => Self::Json,
            FormatArg::Markdown => Self::Markdown,
        }
    }
}

fn cannot_write(directory: &Path) -> String {
    format!("cannot write the report to {} (--out)", directory.display())
}

/// Opens the page and the JSON file of a report, and leaves their contents as they are. Called before the run, to
/// fail early, and after it.
fn open_files(directory: &Path) -> io::Result<[File; 2]> {
    fs::create_dir_all(directory)?;
    let open = |name| {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        options.open(directory.join(name))
    };
    Ok([open("index.html")?, open("report.json")?])
}

fn save(report: &Report, directory: &Path) -> io::Result<()> {
    let [page, json] = open_files(directory)?;
    page.set_len(0)?;
    json.set_len(0)?;
    let mut page = BufWriter::new(page);
    reporter::html::write(report, &mut page)?;
    page.flush()?;
    let mut json = BufWriter::new(json);
    reporter::write(report, reporter::Format::Json, &mut json)?;
    json.flush()
}

fn status(report: &Report) -> ExitCode {
    let any = |verdict| report.runs.iter().any(|run| run.verdict == verdict);
    if any(Verdict::Contradicted) {
        ExitCode::FAILURE
    } else if any(Verdict::Interrupted) {
        ExitCode::from(130)
    } else if any(Verdict::Void) {
        ExitCode::from(3)
    } else if !report.runs.is_empty()
        && report
            .runs
            .iter()
            .all(|run| run.verdict == Verdict::NotHere)
    {
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
