//! Announcement of the running experiment in the lab's metrics.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use threadlab::experiment::ALL;

use crate::lab::Lab;
use crate::runner::{Found, command, measured, spawn};

/// Returns the experiments whose `experiment_running` is 1.
fn running(lab: &Lab) -> Vec<&'static str> {
    let scrape = lab.scrape();
    let names = ALL.iter().map(|experiment| experiment.name);
    names
        .filter(|name| scrape.value(&format!("experiment_running{{experiment=\"{name}\"}}")) == 1.0)
        .collect()
}

fn wait_until_running(lab: &Lab, expected: &[&str]) {
    let start = Instant::now();
    while running(lab) != expected {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?} is running, not {expected:?}",
            running(lab)
        );
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn metrics_show_an_experiment_while_it_runs() {
    measured(|| {
        let lab = Lab::start(&[]);
        assert!(running(&lab).is_empty());
        let runner = spawn(command(&lab, &lab.front, &["article", "--seconds", "1"]));
        wait_until_running(&lab, &["article"]);
        let found = Found::of(&runner.wait_with_output().unwrap());
        assert_eq!(found.verdict(), "confirmed", "{:#}", found.run);
        wait_until_running(&lab, &[]);
    });
}

#[test]
fn only_known_names_become_series() {
    let lab = Lab::start(&[]);
    let series = |lab: &Lab| {
        let samples = lab.scrape().samples;
        samples
            .keys()
            .filter(|key| key.contains("experiment="))
            .count()
    };
    assert_eq!(status(&lab, "POST /experiments/retry"), "204");
    assert_eq!(running(&lab), ["retry"]);
    assert_eq!(status(&lab, "POST /experiments/nonsense"), "404");
    assert_eq!(status(&lab, "POST /experiments/%FF"), "404");
    assert_eq!(status(&lab, "GET /experiments/matrix"), "405");
    assert_eq!(running(&lab), ["retry"]);
    assert_eq!(series(&lab), ALL.len());
}

fn status(lab: &Lab, request: &str) -> String {
    let mut stream = TcpStream::connect(&lab.metrics).unwrap();
    write!(stream, "{request} HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response.split(' ').nth(1).unwrap().to_owned()
}
