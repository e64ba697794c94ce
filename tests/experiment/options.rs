//! Options of `experiment`, and of the lab that it tests.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use threadlab::experiment::ALL;

use crate::edges::stderr;
use crate::lab::{Lab, Process, get};
use crate::runner::{Found, command, measured, spawn};

#[test]
fn guesses_are_asked_for_and_scored() {
    measured(|| {
        let lab = Lab::start(&[]);
        let mut guessed = command(&lab, &lab.front, &["article", "--seconds", "2", "--guess"]);
        guessed.stdin(Stdio::piped());
        let mut runner = spawn(guessed);
        // Right for the synchronous server, wrong for the asynchronous one.
        let mut stdin = runner.stdin.take().unwrap();
        stdin.write_all(b"1.5\n1.5\n").unwrap();
        let output = runner.wait_with_output().unwrap();
        let said = stderr(&output);
        for words in [
            "/ waits 2.0 s",
            "article, sync, latency of /dummy: you guessed 1.5 s, observed 1.",
            ": right",
            ": wrong",
            "1 of 2 right",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert_eq!(Found::of(&output).run["name"], "article");
    });
}

#[test]
fn every_experiment_has_questions_to_guess() {
    for experiment in ALL {
        assert_eq!(experiment.guesses.len(), 2, "{}", experiment.name);
    }
}

#[test]
fn capacity_plans_with_the_readers_own_numbers() {
    measured(|| {
        let lab = Lab::start(&["--threads", "20"]);
        let plan = |threads| {
            let mut command = command(&lab, &lab.front, &["capacity", "--seconds", "4"]);
            command.args(["--rate", "200", "--wait", "0.08", "--target-p99", "0.3"]);
            command.args(["--threads", threads]).output().unwrap()
        };
        let found = Found::of(&plan("20"));
        assert!(
            ["confirmed", "void"].contains(&found.verdict()),
            "{:#}",
            found.run
        );
        let advice = found.run["notes"][0].as_str().unwrap();
        assert!(advice.contains("17 threads by the formula"), "{advice}");
        let table = &found.run["tables"][0];
        let loads = table["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row[0].as_f64());
        let loads: Vec<f64> = loads.map(Option::unwrap).collect();
        assert_eq!(loads, [50.0, 70.0, 80.0, 90.0, 95.0, 110.0]);
        assert!(table["source"].as_str().unwrap().contains("Erlang"));
        // The synchronous server does not have this number of threads.
        let other = Found::of(&plan("8"));
        assert_eq!((other.verdict(), other.code), ("not-here", Some(4)));
        let reason = other.run["reason"].as_str().unwrap();
        assert!(reason.contains("`threadlab --threads 8`"), "{reason}");
    });
}

#[test]
fn a_metrics_port_with_two_names_is_counted_once() {
    measured(|| {
        let lab = Lab::start(&[]);
        let port = lab.metrics.rsplit_once(':').unwrap().1;
        let output = command(&lab, &lab.front, &["article", "--seconds", "0.5"])
            .args(["--metrics", &format!("localhost:{port}")])
            .output();
        let found = Found::of(&output.unwrap());
        assert_eq!(found.run["findings"][0]["setting"]["threads"], 1);
        assert_eq!(found.verdict(), "confirmed", "{:#}", found.run);
    });
}

#[test]
fn directory_of_the_report_is_checked_before_the_run() {
    let lab = Lab::start(&[]);
    let started = Instant::now();
    let output = command(&lab, &lab.front, &["article", "--seconds", "20"])
        .args(["--out", "/dev/null/x"])
        .output();
    let output = output.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        stderr(&output).contains("/dev/null/x (--out)"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn ports_moves_a_whole_lab_and_its_experiments() {
    measured(|| {
        // Below the ports that the kernel gives to clients (ip_local_port_range).
        let offset = 15_000 + std::process::id() % 8000;
        let _lab = Process::start(&["--ports", &offset.to_string()], 6);
        let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
            .args([
                "experiment",
                "article",
                "--seconds",
                "0.5",
                "--format",
                "json",
            ])
            .args(["--ports", &offset.to_string()])
            .output()
            .unwrap();
        assert_ne!(
            Found::of(&output).verdict(),
            "interrupted",
            "{}",
            stderr(&output)
        );
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["front"], format!("127.0.0.1:{}", 8080 + offset));
    });
}

#[test]
fn pool_limits_the_blocking_calls_at_a_time() {
    let lab = Lab::start(&["--pool", "1"]);
    for server in ["sync", "async"] {
        let limit = lab
            .scrape()
            .value(&format!("blocking_pool_limit{{server=\"{server}\"}}"));
        assert_eq!(limit, 1.0);
    }
    let started = Instant::now();
    let calls = [(); 2].map(|()| {
        let address = lab.r#async.clone();
        thread::spawn(move || get(&address, "/offloaded?seconds=0.5").status)
    });
    for call in calls {
        assert_eq!(call.join().unwrap(), 200);
    }
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}
