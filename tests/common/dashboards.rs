//! The dashboards and rules, and every PromQL expression in them.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

/// A dashboard file.
pub(crate) struct Dashboard {
    /// The file name.
    pub(crate) file: String,
    /// The content.
    pub(crate) json: Value,
}

/// A recording or alerting rule of Prometheus.
#[derive(Debug, Deserialize)]
pub(crate) struct Rule {
    /// Name under which the result is recorded; `None` in an alert.
    pub(crate) record: Option<String>,
    /// Name of the alert; `None` in a recording rule.
    pub(crate) alert: Option<String>,
    /// The PromQL expression.
    pub(crate) expr: String,
    /// Labels that an alert adds.
    #[serde(default)]
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    /// Annotations of an alert.
    #[serde(default)]
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

impl Rule {
    /// Returns the name of the record or the alert.
    pub(crate) fn name(&self) -> &str {
        self.record
            .as_ref()
            .or(self.alert.as_ref())
            .map_or("unnamed rule", String::as_str)
    }
}

/// A PromQL expression, with Grafana's variables replaced.
#[derive(Debug)]
pub(crate) struct Expression {
    /// The file that contains it.
    pub(crate) source: String,
    /// The panel, variable, annotation or rule that contains it.
    pub(crate) place: String,
    /// The expression.
    pub(crate) expr: String,
    /// Grafana's template for the name of a series, in which `{{label}}` is replaced by a label's value.
    pub(crate) legend: String,
}

/// Every expression of the rules and the dashboards.
pub(crate) fn expressions() -> Vec<Expression> {
    let of_rules = rules().into_iter().map(|(file, rule)| Expression {
        source: file,
        place: rule.name().to_owned(),
        expr: rule.expr,
        legend: String::new(),
    });
    let boards = dashboards();
    of_rules
        .chain(boards.iter().flat_map(dashboard_expressions))
        .collect()
}

/// The dashboards, by file name.
pub(crate) fn dashboards() -> Vec<Dashboard> {
    files("grafana/dashboards", "json")
        .into_iter()
        .map(|(file, text)| {
            let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
            Dashboard { file, json }
        })
        .collect()
}

/// The lab's rules with their files: recording rules first, then the alerts that use them.
pub(crate) fn rules() -> Vec<(String, Rule)> {
    rules_in("prometheus/rules")
}

/// The rules that other services can copy, as [`rules`].
pub(crate) fn service_rules() -> Vec<(String, Rule)> {
    rules_in("prometheus/service")
}

fn rules_in(folder: &str) -> Vec<(String, Rule)> {
    #[derive(Deserialize)]
    struct File {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    let mut all = Vec::new();
    for (file, text) in files(folder, "yml") {
        let parsed: File = yaml(&file, &text);
        all.extend(
            parsed
                .groups
                .into_iter()
                .flat_map(|group| group.rules)
                .map(|rule| (file.clone(), rule)),
        );
    }
    all.sort_by_key(|(_, rule)| rule.record.is_none());
    all
}

/// Parses YAML. Panics with the file's name if it is not valid.
pub(crate) fn yaml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The panels of a dashboard, including the rows and those inside collapsed rows.
pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"])
        .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
        .collect()
}

/// The elements of an array; none of any other value.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The content of a string; empty for any other value.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The files with this extension in a folder of the project, sorted by name, with their content.
pub(crate) fn files(folder: impl AsRef<Path>, extension: &str) -> Vec<(String, String)> {
    let folder = root().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == extension));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        (
            name,
            fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
        )
    };
    paths.into_iter().map(read).collect()
}

/// The project's root folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dashboard_expressions(dashboard: &Dashboard) -> Vec<Expression> {
    let (json, source) = (&dashboard.json, &dashboard.file);
    let targets = panels(json)
        .into_iter()
        .flat_map(|panel| list(&panel["targets"]).map(move |target| query(source, panel, target)));
    let variables = list(&json["templating"]["list"]).filter_map(|v| variable(source, v));
    let annotations = list(&json["annotations"]["list"]).map(|a| annotation(source, a));
    targets.chain(variables).chain(annotations).collect()
}

fn query(source: &str, panel: &Value, target: &Value) -> Expression {
    let (id, title, query) = (&panel["id"], text(&panel["title"]), text(&target["refId"]));
    Expression {
        source: source.to_owned(),
        place: format!("panel {id} \"{title}\", query {query}"),
        expr: substitute(text(&target["expr"]), text(&target["interval"])),
        legend: text(&target["legendFormat"]).to_owned(),
    }
}

/// The expression in a variable's definition, `label_values(series, label)` or `query_result(expression)`; `None` for
/// other variables.
fn variable(source: &str, variable: &Value) -> Option<Expression> {
    let definition = text(&variable["query"]["query"]).strip_suffix(')')?;
    let (expr, label) = match definition.strip_prefix("label_values(") {
        Some(arguments) => arguments.rsplit_once(',')?,
        // The values come from a label, by a regular expression `/label="([^"]+)"/`.
        None => (
            definition.strip_prefix("query_result(")?,
            text(&variable["regex"])
                .strip_prefix('/')?
                .split_once('=')?
                .0,
        ),
    };
    Some(Expression {
        source: source.to_owned(),
        place: format!("variable {}", text(&variable["name"])),
        expr: substitute(expr, ""),
        legend: format!("{{{{{}}}}}", label.trim()),
    })
}

fn annotation(source: &str, annotation: &Value) -> Expression {
    Expression {
        source: source.to_owned(),
        place: format!("annotation \"{}\"", text(&annotation["name"])),
        expr: substitute(text(&annotation["expr"]), text(&annotation["step"])),
        legend: format!(
            "{} {}",
            text(&annotation["titleFormat"]),
            text(&annotation["textFormat"])
        ),
    }
}

/// Replaces Grafana's variables by their values if all servers, threads and routes are selected, the scrape interval is
/// 1 s and the last 5 minutes are shown. `min_step` is the query's minimum step.
fn substitute(expr: &str, min_step: &str) -> String {
    let step: u32 = min_step.trim_end_matches('s').parse().unwrap_or(1);
    expr.replace("$__range", "5m")
        .replace("$__rate_interval", &format!("{}s", 4 * step))
        .replace("$__interval", &format!("{step}s"))
        .replace("$server", "sync|async")
        .replace("$routed", "sync|async")
        .replace("$instance", ".*")
        .replace("$thread", ".*")
        .replace("$route", ".*")
}
