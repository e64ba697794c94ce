//! The expressions of dashboards and rules, held to the metrics that the code exports.

use std::{collections::BTreeSet, fs};

use promql_parser::parser;
use serde::Deserialize;
use serde_json::Value;
use thread_states::State;
use thread_states::metrics::list::{self, Metric, MetricKind};
use threadlab::{
    app::ROUTES,
    experiment,
    metrics::{list as lab, watched},
};

mod common {
    pub(crate) mod dashboards;
    pub(crate) mod exported;
    pub(crate) mod faults;
    pub(crate) mod promql;
}
use common::{
    dashboards::{Rule, expressions, files, root, rules, service_rules, yaml},
    exported::{NGINX, NGINX_EXPORTER, OTHERS},
    faults::Faults,
    promql::{Labels, Series, labels},
};

#[test]
fn expressions_use_what_is_exported() {
    let series = exported_and_recorded();
    let mut faults = Faults::default();
    for query in expressions() {
        let place = format!("{}: {}", query.source, query.place);
        match result_labels(&query.expr, &series) {
            Ok(labels) => {
                for label in named(&query.legend, "{{", "}}") {
                    faults.unless(
                        labels.contains(label),
                        &place,
                        format!("the result has no label {label}"),
                    );
                }
            }
            Err(fault) => faults.add(place, fault),
        }
    }
    faults.none();
}

#[test]
fn rules_to_take_along_need_no_others() {
    let exported = exported();
    let mut faults = Faults::default();
    for (file, rule) in service_rules() {
        if let Err(fault) = result_labels(&rule.expr, &exported) {
            faults.add(format!("{file}: {}", rule.name()), fault);
        }
    }
    faults.none();
}

#[test]
fn every_metric_is_used() {
    let mut words: String = expressions()
        .into_iter()
        .map(|query| query.expr + "\n")
        .collect();
    for folder in ["", "docs", "docs/labs"]
        .map(|folder| root().join(folder))
        .iter()
        .filter(|f| f.is_dir())
    {
        // The reference is generated from the lists, so that it mentions every metric.
        let pages = files(folder, "md").into_iter();
        words.extend(
            pages
                .filter(|(name, _)| !name.ends_with("metrics.md"))
                .map(|(_, text)| text),
        );
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let used = |name: &str| {
        words
            .split(|c| !is_word(c))
            .any(|word| word.starts_with(name))
    };
    let ours = ours().map(|metric| metric.name);
    let unused: Vec<_> = ours
        .chain(NGINX.iter().map(|(name, _)| *name))
        .filter(|name| !used(name))
        .collect();
    assert!(
        unused.is_empty(),
        "used by no dashboard, rule or document: {unused:?}"
    );
}

#[test]
fn nginx_counts_what_is_asked_for() {
    let script = fs::read_to_string(root().join("nginx/metrics.js")).unwrap();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = script.split(|c| !is_word(c));
    let counted: BTreeSet<_> = words.filter(|word| word.starts_with("nginx_")).collect();
    assert_eq!(counted, NGINX.iter().map(|(name, _)| *name).collect());
}

#[test]
fn alerts_say_what_to_do() {
    let series = exported_and_recorded();
    let mut faults = Faults::default();
    let all = rules().into_iter().chain(service_rules());
    for (file, rule) in all.filter(|(_, rule)| rule.alert.is_some()) {
        let mut must =
            |fine, fault: &str| faults.unless(fine, format!("{file}: {}", rule.name()), fault);
        let severity = rule.labels.get("severity").map(String::as_str);
        must(
            matches!(severity, Some("warning" | "critical")),
            "no severity",
        );
        let labels = result_labels(&rule.expr, &series).unwrap_or_default();
        for key in ["summary", "description", "runbook"] {
            must(!said(&rule, key).is_empty(), &format!("no {key}"));
            for label in named(said(&rule, key), "$labels.", " ") {
                must(
                    labels.contains(label),
                    &format!("the result has no label {label}"),
                );
            }
        }
        must(
            has_heading(said(&rule, "runbook")),
            "the runbook's page or heading does not exist",
        );
    }
    faults.none();
}

#[test]
fn alerts_of_the_stack_are_in_the_table_of_what_to_check_first() {
    let page = fs::read_to_string(root().join("docs/alerts.md")).unwrap();
    let table: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| ["))
        .collect();
    let table = table.join("\n");
    let mut faults = Faults::default();
    for (file, rule) in rules().into_iter().filter(|(_, rule)| rule.alert.is_some()) {
        let link = format!("[{0}](#{1})", rule.name(), rule.name().to_lowercase());
        let place = format!("{file}: {}", rule.name());
        faults.unless(
            table.contains(&link),
            place,
            "not in the table of docs/alerts.md",
        );
    }
    faults.none();
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    #[derive(Deserialize)]
    struct File {
        tests: Vec<Test>,
    }
    #[derive(Deserialize)]
    struct Test {
        #[serde(default)]
        alert_rule_test: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        alertname: String,
        exp_alerts: Vec<Value>,
    }
    let read = files("prometheus/tests", "yml").into_iter();
    let tests = read.flat_map(|(file, text)| yaml::<File>(&file, &text).tests);
    let cases: BTreeSet<(String, bool)> = tests
        .flat_map(|test| test.alert_rule_test)
        .map(|case| (case.alertname, !case.exp_alerts.is_empty()))
        .collect();
    let mut faults = Faults::default();
    let all = rules().into_iter().chain(service_rules());
    for (file, rule) in all.filter(|(_, rule)| rule.alert.is_some()) {
        let name = rule.name().to_owned();
        for (fires, fault) in [
            (true, "no case in which it fires"),
            (false, "no case in which it does not fire"),
        ] {
            let place = format!("{file}: {name}");
            faults.unless(cases.contains(&(name.clone(), fires)), place, fault);
        }
    }
    faults.none();
}

fn said<'a>(alert: &'a Rule, key: &str) -> &'a str {
    alert.annotations.get(key).map_or("", String::as_str)
}

/// The names in a template that stand between `before` and `after`.
fn named<'a>(template: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    let rests = template.split(before).skip(1);
    rests
        .filter_map(move |rest| rest.split_once(after))
        .map(|(name, _)| name.trim())
}

/// Returns whether `page#anchor` is a page of the project with a heading of that anchor.
fn has_heading(link: &str) -> bool {
    let Some((page, anchor)) = link.split_once('#') else {
        return false;
    };
    let text = fs::read_to_string(root().join(page)).unwrap_or_default();
    let mut headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.any(|heading| heading.to_lowercase() == anchor)
}

/// Returns the labels of the result of an expression, or its error.
fn result_labels(expr: &str, series: &Series) -> Result<Labels, String> {
    match expr.split_once('$') {
        Some((_, unknown)) => Err(format!("an unknown variable: ${unknown}")),
        None => labels(&parser::parse(expr)?, series),
    }
}

/// Metrics that the code and others export, and the results of the recording rules.
fn exported_and_recorded() -> Series {
    let mut series = exported();
    for (_, rule) in rules() {
        // A faulty rule records nothing here; it is itself among the expressions that are reported.
        if let (Some(name), Ok(labels)) = (rule.record, result_labels(&rule.expr, &series)) {
            let valued = labels
                .into_iter()
                .map(|label| (label.clone(), values(&name, &label)));
            let valued = valued.collect();
            series.insert(name, valued);
        }
    }
    series
}

/// Label with the name of a server.
const SERVER: &str = "server";

/// Every metric of the library and of the lab.
fn ours() -> impl Iterator<Item = &'static Metric> {
    list::ALL.iter().chain(lab::ALL)
}

fn exported() -> Series {
    let mut series = Series::new();
    let mut add = |name: String, labels: &[&str]| {
        let labels = labels.iter().chain(&["job", "instance"]);
        let valued = labels
            .map(|label| ((*label).to_owned(), values(&name, label)))
            .collect();
        series.insert(name, valued);
    };
    for Metric {
        name, kind, labels, ..
    } in ours().chain(watched::ALL)
    {
        if *kind == MetricKind::Histogram {
            add_histogram(name, labels, &mut add);
        } else {
            add((*name).to_owned(), labels);
        }
    }
    for (name, labels) in NGINX {
        add_histogram(name, labels, &mut add);
    }
    for (name, _) in NGINX_EXPORTER {
        add((*name).to_owned(), &[]);
    }
    for name in OTHERS {
        // Prometheus adds the name of the server to its targets (prometheus.yml).
        add((*name).to_owned(), &[SERVER]);
    }
    series
}

fn add_histogram(name: &str, labels: &[&str], add: &mut impl FnMut(String, &[&str])) {
    add(format!("{name}_bucket"), &[labels, &["le"]].concat());
    add(format!("{name}_sum"), labels);
    add(format!("{name}_count"), labels);
}

/// The values of a label, where they are few and known.
fn values(metric: &str, label: &str) -> Option<Vec<String>> {
    let values = match label {
        SERVER => vec!["sync", "async", "flask", "fastapi"],
        "state" if metric == list::ROUTE_POLL_SECONDS.name => {
            vec!["running", "runnable", "blocked"]
        }
        "state" if metric == lab::DATABASE_POOL_CONNECTIONS.name => vec!["idle", "used"],
        "driver" => vec!["synchronous", "asynchronous"],
        "state" => State::ALL.map(State::as_str).to_vec(),
        "http_route" => [ROUTES, &[list::UNMATCHED]].concat(),
        "experiment" => experiment::ALL.iter().map(|one| one.name).collect(),
        "job" => vec!["threadlab", "nginx", "nginx-exporter", "prometheus"],
        _ => return None,
    };
    Some(values.into_iter().map(str::to_owned).collect())
}
