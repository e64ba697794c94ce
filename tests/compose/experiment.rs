//! Experiments through nginx, and what Prometheus has of them.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use threadlab::metrics::watched;

use crate::dashboards::{self, Expression};
use crate::http::get;
use crate::prometheus::Prometheus;
use crate::stack::Stack;
use crate::verdicts::as_expected;
use crate::{WAIT, dummy_behind_waits, eventually};

pub fn the_article_is_confirmed_through_nginx(stack: &Stack) {
    are_confirmed(stack, &["article"], &["--seconds", "4"]);
}

pub fn experiments_are_confirmed_through_nginx_and_seen_in_prometheus(stack: &Stack) {
    let front = stack.url("nginx", 8080);
    let prometheus = Prometheus::at(stack.url("prometheus", 9090));
    let begin = prometheus.now();

    let sync = dummy_behind_waits(&front, "sync", 1);
    let r#async = dummy_behind_waits(&front, "async", 1);
    assert!(sync > Duration::from_secs(WAIT - 2), "sync: {sync:?}");
    assert!(r#async < Duration::from_secs(WAIT - 3), "async: {async:?}");
    // Those about connections and responses, which nginx handles in its own way, and those about PostgreSQL.
    are_confirmed(
        stack,
        &[
            "article",
            "matrix",
            "drivers",
            "pools",
            "abort",
            "keepalive",
            "slow-client",
            "waiting",
        ],
        &["--seconds", "4"],
    );

    // Until the last of it is scraped and evaluated.
    thread::sleep(Duration::from_secs(3));
    let between = (begin, prometheus.now());
    every_expression_has_a_value(&prometheus, between);
    every_rule_is_evaluated(&prometheus, between);
    for job in ["threadlab", "nginx", "nginx-exporter", "prometheus"] {
        let up = prometheus.number(&format!("min(up{{job={job:?}}})"));
        assert_eq!(up, Some(1.0), "{job} is not scraped");
    }
}

pub fn the_articles_programs_are_compared_with_the_servers(stack: &Stack) {
    let services = [
        "flask",
        "fastapi",
        "gunicorn",
        "gthread",
        "flask-watch",
        "fastapi-watch",
        "gunicorn-watch",
        "gthread-watch",
    ];
    let up = ["up", "--detach", "--build", "--wait"];
    stack.compose(&[&up, &services[..]].concat());
    let all = r#"["sync","async","flask","fastapi","gunicorn","gthread"]"#;
    the_page_offers(stack, all);
    a_paused_server_is_blocked(stack);
    // Longer than the time in which a watcher notices a new thread.
    let servers = [
        "--seconds",
        "10",
        "--servers",
        "sync,async,flask,fastapi,gunicorn,gthread",
    ];
    are_confirmed(stack, &["article", "matrix"], &servers);
    // The lab's own servers are compared above.
    let originals = ["--seconds", "10", "--servers", "flask,fastapi"];
    are_confirmed(stack, &["drivers"], &originals);
    // Not `stop`: some do not end on a SIGTERM. The watchers first: each one is in the PID namespace of its program, and
    // the engine waits 10 s for a container that ends with the namespace of another.
    let (programs, watchers) = services.split_at(4);
    stack.compose(&[&["kill"], watchers].concat());
    stack.compose(&[&["kill"], programs].concat());
    stack.compose(&[&["rm", "--force"], &services[..]].concat());
    the_page_offers(stack, r#"["sync","async"]"#);
    // Without them, the report names the missing one and the command that starts it.
    let refused = stack.experiment_errors(&["article", "--servers", "sync,flask"]);
    for words in [
        "flask (--servers) is not part of this lab",
        "--profile originals",
    ] {
        assert!(refused.contains(words), "{refused}");
    }
}

/// The live page gets the names of the servers that run.
fn the_page_offers(stack: &Stack, names: &str) {
    let url = format!("{}/live/servers.js", stack.url("nginx", 8080));
    let module = format!("export const NAMES = {names};\n");
    eventually("the page offers the servers", || get(&url).body == module);
}

/// A paused container can take no request, whatever its threads waited for.
fn a_paused_server_is_blocked(stack: &Stack) {
    let states = || {
        // From nginx's container, which reaches the watcher's port through the network of the servers.
        let text = stack.fetch_from("nginx", "http://flask:9100/threads");
        let servers: Value = serde_json::from_str(&text.unwrap()).unwrap();
        let thread = &servers[0]["threads"][0];
        (thread["state"].clone(), thread["on"].clone())
    };
    eventually("flask is idle", || states().0 == "idle");
    stack.compose(&["pause", "flask"]);
    eventually("the paused flask is blocked", || {
        states() == ("blocked".into(), "stopped".into())
    });
    stack.compose(&["unpause", "flask"]);
    eventually("flask is idle again", || states().0 == "idle");
}

pub fn nginx_is_watched_as_an_event_loop(stack: &Stack) {
    let _watcher = stack.watch("nginx", "nginx=port:8080", "127.0.0.1:9101");
    let states = || -> Vec<String> {
        // It may not listen yet.
        let Some(text) = stack.fetch_from("nginx", "http://127.0.0.1:9101/threads") else {
            return Vec::new();
        };
        let servers: Value = serde_json::from_str(&text).unwrap();
        let threads = servers[0]["threads"].as_array().unwrap().iter();
        threads
            .filter_map(|thread| Some(thread["state"].as_str()?.to_owned()))
            .collect()
    };
    // Its main process and four workers.
    eventually("all processes of nginx are idle", || {
        let states = states();
        states.len() >= 5 && states.iter().all(|state| state == "idle")
    });
    let front = stack.url("nginx", 8080);
    let request = thread::spawn(move || get(&format!("{front}/sync/?seconds={WAIT}")).status);
    // The server's thread is blocked meanwhile, and nginx serves others.
    eventually("one worker awaits the server", || {
        let states = states();
        states.iter().filter(|state| *state == "awaiting").count() == 1
            && !states.iter().any(|state| state == "blocked")
    });
    assert_eq!(request.join().unwrap(), 200);
}

/// Runs experiments one after another. Repeats those that other tests and programs may have disturbed.
fn are_confirmed(stack: &Stack, names: &[&str], options: &[&str]) {
    let run = |names: &[&str]| unconfirmed(stack, names, options);
    as_expected(run(names), run);
}

/// Runs experiments, and returns those that are contradicted or void.
fn unconfirmed(stack: &Stack, names: &[&str], options: &[&str]) -> Vec<Value> {
    let mut report = stack.experiment(&[names, options].concat());
    let Value::Array(mut runs) = report["runs"].take() else {
        panic!("{report:#}");
    };
    assert_eq!(runs.len(), names.len(), "{runs:#?}");
    for run in &runs {
        let verdict = run["verdict"].as_str().unwrap();
        let expected = ["confirmed", "contradicted", "void"];
        assert!(expected.contains(&verdict), "{run:#}");
    }
    runs.retain(|run| run["verdict"] != "confirmed");
    runs
}

fn every_expression_has_a_value(prometheus: &Prometheus, between: (f64, f64)) {
    let rules = dashboards::rules();
    let alerts = rules.iter().filter(|(_, rule)| rule.alert.is_some());
    let alerts: BTreeSet<&str> = alerts.map(|(_, rule)| rule.name()).collect();

    let mut empty = Vec::new();
    for expression in dashboards::expressions() {
        // An alert that does not fire has no value. The rules' own tests make them fire.
        let may_be_empty = alerts.contains(expression.place.as_str()) || shows_faults(&expression);
        if !may_be_empty && !prometheus.has_numbers(&expression.expr, between) {
            let Expression {
                source,
                place,
                expr,
                ..
            } = expression;
            empty.push(format!("{source}, {place}: {expr}"));
        }
    }
    assert!(empty.is_empty(), "without a value:\n{}", empty.join("\n"));
}

/// Returns whether an expression has no value on a stack in which nothing fails and no server is watched from outside.
fn shows_faults(expression: &Expression) -> bool {
    // The other way round: panels that leave watched servers out.
    let only_watched = watched::ALL
        .iter()
        .filter(|metric| **metric != watched::WATCH_UP);
    only_watched
        .map(|metric| metric.name)
        .any(|name| expression.expr.contains(name))
        || [
            "error ratio by route",
            "requests ready, waiting for a thread again",
        ]
        .iter()
        .any(|title| expression.place.contains(title))
}

fn every_rule_is_evaluated(prometheus: &Prometheus, between: (f64, f64)) {
    let rules = dashboards::rules();
    let written: BTreeSet<String> = rules
        .iter()
        .map(|(_, rule)| rule.name().to_owned())
        .collect();
    assert_eq!(prometheus.healthy_rules(), written);
    for record in rules.iter().filter_map(|(_, rule)| rule.record.as_deref()) {
        assert!(prometheus.has_numbers(record, between), "{record} is empty");
    }
}
