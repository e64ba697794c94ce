//! `docs/metrics.md`: its tables come from the lists in the code, and the lists are compared with what
//! a running server exports.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use thread_states::State;
use thread_states::metrics::list::{self, Metric, MetricKind};
use threadlab::app::ROUTES;
use threadlab::experiment;
use threadlab::flavor::Flavor;
use threadlab::metrics::endpoints::ENDPOINTS;
use threadlab::metrics::list as lab;
use threadlab::metrics::watched;

mod common {
    pub(crate) mod exported;
    pub(crate) mod lab;
}
use common::exported::{NGINX, NGINX_EXPORTER};
use common::lab::{Server, get};

/// Set in the environment, it makes the test update the page.
const UPDATE: &str = "UPDATE_DOCS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> PathBuf {
    root().join("docs/metrics.md")
}

#[test]
fn the_page_is_up_to_date() {
    let before = fs::read_to_string(page()).unwrap();
    let mut after = before.clone();
    for (name, content) in [
        ("library", metrics_table(list::ALL)),
        ("lab", metrics_table(lab::ALL)),
        ("watched", metrics_table(watched::ALL)),
        ("process", process_table()),
        ("labels", labels_table()),
        ("nginx", nginx_table()),
        ("exporter", exporter_table()),
        ("endpoints", endpoints_table()),
        ("events", event_format()),
    ] {
        after = replace_section(&after, name, &content);
    }
    if std::env::var_os(UPDATE).is_some() {
        fs::write(page(), after).unwrap();
    } else {
        assert!(
            before == after,
            "docs/metrics.md is out of date: run `make docs`"
        );
    }
}

fn replace_section(page: &str, name: &str, content: &str) -> String {
    let (begin, end) = (
        format!("<!-- BEGIN {name} -->\n"),
        format!("<!-- END {name} -->"),
    );
    let (head, rest) = page.split_once(&begin).unwrap();
    let (_, tail) = rest.split_once(&end).unwrap();
    format!("{head}{begin}\n{}\n\n{end}{tail}", content.trim())
}

fn metrics_table(metrics: &[Metric]) -> String {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let labels = metric.labels.join(", ");
        let (name, kind, help) = (metric.name, metric.kind.as_str(), metric.help);
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

fn process_table() -> String {
    let mut table = "| metric | type | meaning |\n|---|---|---|\n".to_owned();
    for metric in list::PROCESS {
        let (name, kind, help) = (metric.name, metric.kind.as_str(), metric.help);
        writeln!(table, "| `{name}` | {kind} | {help} |").unwrap();
    }
    table
}

fn labels_table() -> String {
    let code = |values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        values.join(", ")
    };
    let experiments: Vec<_> = experiment::ALL.iter().map(|one| one.name).collect();
    let rows = [
        (
            "server",
            format!(
                "name of the server: {}, or the name that your service gives",
                code(&[Flavor::Sync.as_str(), Flavor::Async.as_str()])
            ),
        ),
        (
            "thread",
            "index of the thread within its server: 0, 1, …; not a thread ID".to_owned(),
        ),
        (
            "state",
            format!(
                "{}; routes have only the first three. Of a connection: `idle` or `used`",
                code(&State::ALL.map(State::as_str))
            ),
        ),
        (
            "driver",
            "database driver: `synchronous` (Diesel) or `asynchronous` (tokio-postgres)".to_owned(),
        ),
        (
            "http_route",
            format!(
                "pattern of the matched route. In the lab: {}. `{}`: the request matched no route. `{}`: all \
                 routes beyond the first {} that the server did not declare",
                code(ROUTES),
                list::UNMATCHED,
                thread_states::OTHER,
                thread_states::MOST_NEW_ROUTES,
            ),
        ),
        (
            "http_request_method",
            "method of the request; `_OTHER` for unknown methods".to_owned(),
        ),
        (
            "http_response_status_code",
            "status of the response; 499: the client disconnected first".to_owned(),
        ),
        (
            "on",
            "what a blocked thread waits for: `sleep`, `lock`, `socket`, `client`, `file`, `disk`, `pipe`, `child`, \
             `fault`, `stopped`, `other`"
                .to_owned(),
        ),
        ("pid", "process ID".to_owned()),
        ("tid", "thread ID".to_owned()),
        ("comm", "name of the thread".to_owned()),
        (
            "where",
            "`accept`: on a connection in the accept queue; `socket`: unread on an accepted one"
                .to_owned(),
        ),
        ("source", "source that the watcher may not read".to_owned()),
        (
            "what",
            "work of the watcher: `tick`, `look` or `scan`".to_owned(),
        ),
        (
            "experiment",
            format!("name of an experiment: {}", code(&experiments)),
        ),
    ];
    let listed = list::ALL.iter().chain(lab::ALL).chain(watched::ALL);
    let used: BTreeSet<_> = listed.flat_map(|metric| metric.labels).copied().collect();
    assert_eq!(used, rows.iter().map(|(label, _)| *label).collect());
    let mut table = "| label | values |\n|---|---|\n".to_owned();
    for (label, values) in rows {
        writeln!(table, "| `{label}` | {values} |").unwrap();
    }
    table
}

/// The help texts stand in nginx's script, as `NAME:` and the text in quotes on the next line.
fn nginx_table() -> String {
    let script = fs::read_to_string(root().join("nginx/metrics.js")).unwrap();
    let (_, rest) = script.split_once("const HELP = {\n").unwrap();
    let (help, _) = rest.split_once("};").unwrap();
    let lines: Vec<_> = help.lines().map(str::trim).collect();
    let help: BTreeMap<_, _> = lines
        .chunks(2)
        .map(|lines| {
            let name = lines[0].strip_suffix(':').unwrap();
            (name, lines[1].trim_matches([',', '\'']))
        })
        .collect();
    assert_eq!(help.len(), NGINX.len());
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, labels) in NGINX {
        let labels = labels.join(", ");
        writeln!(
            table,
            "| `{name}` | histogram | {labels} | {} |",
            help[name]
        )
        .unwrap();
    }
    table
}

fn exporter_table() -> String {
    let mut table = "| metric | type |\n|---|---|\n".to_owned();
    for (name, kind) in NGINX_EXPORTER {
        writeln!(table, "| `{name}` | {kind} |").unwrap();
    }
    table
}

fn endpoints_table() -> String {
    let mut table = "| endpoint | media type | response |\n|---|---|---|\n".to_owned();
    for endpoint in ENDPOINTS {
        let (method, path, response) = (endpoint.method, endpoint.path, endpoint.response);
        let media_type = match endpoint.media_type {
            "" => "none".to_owned(),
            media_type => format!("`{media_type}`"),
        };
        writeln!(table, "| `{method} {path}` | {media_type} | {response} |").unwrap();
    }
    table
}

/// The module documentation of the events, without its title.
fn event_format() -> String {
    let source = fs::read_to_string(root().join("src/live/event.rs")).unwrap();
    let docs = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .skip(1);
    docs.collect::<Vec<_>>().join("\n")
}

/// Returns name, type and help text of each metric in Prometheus' text format.
fn exposed(text: &str) -> BTreeMap<String, (String, String)> {
    let of = |keyword: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(keyword));
        lines
            .filter_map(|line| line.trim().split_once(' '))
            .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            .collect()
    };
    let mut help = of("# HELP");
    of("# TYPE")
        .into_iter()
        .map(|(name, kind)| {
            let help = help.remove(&name).unwrap_or_default();
            (name, (kind, help))
        })
        .collect()
}

#[test]
fn a_server_exports_the_metrics_on_the_lists() {
    let server = Server::start("async", &[]);
    // A request, so that each histogram and route has series.
    ureq::get(format!("http://{}/dummy", server.http))
        .header("X-Request-Start", "t=1")
        .call()
        .unwrap();
    let mut response = ureq::get(format!("http://{}/metrics", server.metrics))
        .call()
        .unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    let mut exposed = exposed(&text);
    exposed.retain(|name, _| !name.starts_with("process_"));
    let listed = list::ALL.iter().chain(lab::ALL).map(|metric| {
        let kind = metric.kind.as_str().to_owned();
        (metric.name.to_owned(), (kind, metric.help.to_owned()))
    });
    assert_eq!(exposed, listed.collect());

    for Metric {
        name, kind, labels, ..
    } in list::ALL.iter().chain(lab::ALL)
    {
        let name = match kind {
            MetricKind::Histogram => format!("{name}_count"),
            MetricKind::Counter | MetricKind::Gauge => (*name).to_owned(),
        };
        let series = format!("{name}{{");
        let line = text.lines().find(|line| line.starts_with(&series));
        let line = line.unwrap_or_else(|| panic!("no series of {name}"));
        let labels_of_line: BTreeSet<_> = line[series.len()..]
            .split(['{', ',', '}'])
            .filter_map(|label| label.split_once('='))
            .map(|(label, _)| label)
            .collect();
        assert_eq!(labels_of_line, labels.iter().copied().collect(), "{name}");
    }
}

#[test]
fn each_listed_endpoint_responds_with_its_media_type() {
    let server = Server::start("sync", &[]);
    let readiness = format!("http://{}/readyz", server.metrics);
    while ureq::get(&readiness).call().is_err() {
        // It announces its addresses just before it is ready.
        thread::sleep(Duration::from_millis(10));
    }
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{name}", experiment::ALL[0].name);
        let path = path.replace("{*file}", "article.md");
        let url = format!("http://{}{path}", server.metrics);
        let response = match endpoint.method {
            "POST" => ureq::post(url).send_empty(),
            _ => ureq::get(url).call(),
        };
        let response = response.unwrap();
        let media_type = response.headers().get("content-type");
        let media_type = media_type.map_or("", |value| value.to_str().unwrap());
        assert_eq!(media_type, endpoint.media_type, "{}", endpoint.path);
    }
}

#[test]
fn each_route_of_the_metrics_port_is_listed() {
    let folders = [
        "src/metrics",
        "src/live",
        "crates/thread-states/src/metrics/exporter",
    ];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut routes = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        let lines = code.lines().filter(|line| !line.trim().starts_with("//"));
        let code: String = lines.collect();
        let found = code.split(".route(").skip(1);
        routes.extend(found.map(|rest| rest.split('"').nth(1).unwrap().to_owned()));
    }
    let listed = ENDPOINTS.iter().map(|endpoint| endpoint.path.to_owned());
    assert_eq!(routes, listed.collect());
}

/// Returns the paths of all fields of a JSON value, elements of arrays as `[]`.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                found.insert(path.clone());
                fields(value, &path, found);
            }
        }
        Value::Array(values) => {
            let path = format!("{path}[]");
            values.iter().for_each(|value| fields(value, &path, found));
        }
        _ => {}
    }
}

#[test]
fn events_have_the_documented_fields() {
    let example = event_format();
    let (_, rest) = example.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let mut documented = BTreeSet::new();
    fields(&serde_json::from_str(example).unwrap(), "", &mut documented);

    let server = Server::start("async", &["--links", "Grafana=http://127.0.0.1:3000"]);
    ureq::get(format!("http://{}/?seconds=0.01", server.http))
        .header("X-Request-ID", "00000000000000ab")
        .call()
        .unwrap();
    // A field is sent only of a thread that is blocked. The event stream begins with all that there is.
    let blocking = format!("http://{}/blocking?seconds=1", server.http);
    let blocking = thread::spawn(move || ureq::get(blocking).call().unwrap().status());
    let deadline = Instant::now() + Duration::from_secs(10);
    let threads = || get(&server.metrics, "/threads").body;
    while !threads().contains("\"state\":\"blocked\"") {
        assert!(Instant::now() < deadline, "{}", threads());
        thread::sleep(Duration::from_millis(10));
    }
    // Viewers share a sample for 50 ms. One of the start has no threads.
    thread::sleep(Duration::from_millis(100));
    let response = ureq::get(format!("http://{}/threads/stream", server.metrics))
        .call()
        .unwrap();
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    let event = lines
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("data:").map(str::to_owned))
        .unwrap();
    let mut sent = BTreeSet::new();
    fields(&serde_json::from_str(&event).unwrap(), "", &mut sent);
    assert_eq!(sent, documented);
    assert_eq!(blocking.join().unwrap(), 200);
}
