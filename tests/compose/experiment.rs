//! The article's experiment, as nginx's client and as Prometheus see it.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use crate::prometheus::Prometheus;
use crate::stack::Stack;
use crate::{WAIT, dashboards, dummy_behind_waits};

#[test]
#[ignore = "needs Docker: run make test"]
fn experiments_are_confirmed_through_nginx_and_seen_in_prometheus() {
    let stack = Stack::up();
    let front = stack.url("nginx", 8080);
    let prometheus = Prometheus::at(stack.url("prometheus", 9090));
    let begin = prometheus.now();

    let sync = dummy_behind_waits(&front, "sync", 1);
    let r#async = dummy_behind_waits(&front, "async", 1);
    assert!(sync > Duration::from_secs(WAIT - 2), "sync: {sync:?}");
    assert!(r#async < Duration::from_secs(WAIT - 3), "async: {async:?}");
    // Those that are about connections and the way back, which nginx makes its own way.
    are_confirmed(
        &stack,
        &[
            "article",
            "matrix",
            "abort",
            "keepalive",
            "slow-client",
            "waiting",
        ],
    );

    // Until the last of it is scraped and recorded.
    thread::sleep(Duration::from_secs(3));
    let between = (begin, prometheus.now());
    every_expression_has_an_answer(&prometheus, between);
    every_rule_is_evaluated(&prometheus, between);
    for job in ["threadlab", "nginx", "prometheus"] {
        let up = prometheus.number(&format!("min(up{{job={job:?}}})"));
        assert_eq!(up, Some(1.0), "{job} is not scraped");
    }
}

/// Performs them one after the other. A void run is no result: it is repeated, because the machine may
/// be short of CPUs.
fn are_confirmed(stack: &Stack, names: &[&str]) {
    let mut left = names.to_vec();
    for _ in 0..4 {
        let report = stack.experiment(&[&left[..], &["--seconds", "4"]].concat());
        let runs = report["runs"].as_array().unwrap();
        assert_eq!(runs.len(), left.len(), "{report:#}");
        let void = |name: &&str| {
            let run = runs.iter().find(|run| run["name"] == *name).unwrap();
            let (verdict, notes) = (run["verdict"].as_str().unwrap(), &run["notes"]);
            assert!(["confirmed", "void"].contains(&verdict), "{run:#}");
            if verdict == "void" {
                eprintln!("{name} again, because it was void: {notes}");
            }
            verdict == "void"
        };
        left.retain(void);
        if left.is_empty() {
            return;
        }
    }
    panic!("void each time: {left:?}");
}

fn every_expression_has_an_answer(prometheus: &Prometheus, between: (f64, f64)) {
    let rules = dashboards::rules();
    let alerts = rules.iter().filter(|(_, rule)| rule.alert.is_some());
    let alerts: BTreeSet<&str> = alerts.map(|(_, rule)| rule.name()).collect();

    let mut empty = Vec::new();
    for asked in dashboards::expressions() {
        // An alert that does not fire has none. The rules' own tests make them fire.
        let may_be_empty = alerts.contains(asked.place.as_str());
        if !may_be_empty && !prometheus.has_numbers(&asked.expr, between) {
            empty.push(format!("{}, {}: {}", asked.source, asked.place, asked.expr));
        }
    }
    assert!(empty.is_empty(), "without an answer:\n{}", empty.join("\n"));
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
