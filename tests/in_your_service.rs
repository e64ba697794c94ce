//! The page "In your own service": its code and the examples, built in a new project that depends on
//! the crate as the page says, and their metrics.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/outside_project.rs"]
mod outside_project;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

const PAGE: &str = include_str!("../docs/in-your-service.md");
const BLOCKING: &str = include_str!("../crates/thread-states/examples/blocking.rs");
const SERVICE: &str = include_str!("../crates/thread-states/examples/service.rs");

/// Returns the first code box of a language on the page.
fn code_box(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// Folder of the built programs.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(build);

/// Builds the page's example and the one that blocks, on free ports.
fn build() -> PathBuf {
    let package = "[package]\nname = \"shop\"\nedition = \"2024\"\n";
    let manifest = format!("{package}\n{}\n[workspace]\n", code_box("toml"));
    let programs = [("page", code_box("rust")), ("blocking", BLOCKING)].map(|(name, text)| {
        let text = text.replace(":3000\"", ":0\"").replace(":9100\"", ":0\"");
        (format!("{name}.rs"), text)
    });
    outside_project::build("shop", &manifest, &programs)
}

/// One of the project's programs, killed on drop.
struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    metrics: String,
    server: String,
}

impl Program {
    fn start(name: &str) -> Self {
        let mut child = Command::new(PROGRAMS.join(name))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let [metrics, server] = ["metrics: ", "server: "].map(|label| {
            let line = line(&mut stdout).unwrap();
            line.strip_prefix(label).unwrap().to_owned()
        });
        Self {
            child,
            stdout,
            metrics,
            server,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (from.read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_owned())
}

fn get(url: &str) -> String {
    let mut response = ureq::get(url).call().unwrap();
    response.body_mut().read_to_string().unwrap()
}

/// Returns the sum of the samples whose series contain all these parts.
fn sum(metrics: &str, parts: &[&str]) -> f64 {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let chosen = samples.filter(|line| parts.iter().all(|part| line.contains(part)));
    chosen
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

#[test]
fn the_page_contains_the_example() {
    let code = |text: &str| -> Vec<String> {
        let comment = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
        let lines = text.lines().filter(comment).map(str::to_owned);
        lines.filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(code(code_box("rust")), code(SERVICE));
}

#[test]
fn metrics_show_an_await_while_it_lasts() {
    let service = Program::start("page");
    assert_eq!(get(&service.server), "hello\n");
    let wait = format!("{}wait", service.server);
    let waiting = thread::spawn(move || get(&wait));
    thread::sleep(Duration::from_secs(2));
    let route = r#"http_route_await_seconds_total{server="shop",http_route="/wait"}"#;
    let metrics = get(&service.metrics);
    let awaited = sum(&metrics, &[route]);
    assert!((1.0..4.0).contains(&awaited), "{awaited} s");

    let wall = sum(&metrics, &["thread_wall_seconds_total"]);
    let states = sum(&metrics, &["thread_state_seconds_total"]);
    assert!((states / wall - 1.0).abs() < 0.001, "{states} of {wall} s");
    let state = |name| sum(&metrics, &["thread_state_seconds_total", name]);
    assert!(state("awaiting") > 0.3 * wall, "{metrics}");
    assert!(state("blocked") < 0.1 * wall, "{metrics}");
    assert_eq!(waiting.join().unwrap(), "awaited a timer\n");
}

#[test]
fn metrics_name_the_blocking_route_while_it_blocks() {
    let mut program = Program::start("blocking");
    let mut printed = String::new();
    while let Some(line) = line(&mut program.stdout).filter(|line| !line.contains("still serving"))
    {
        printed += &line;
        printed.push('\n');
    }
    let seconds = |metric, route, state| {
        let route = format!(r#"http_route="{route}""#);
        sum(&printed, &[metric, &route, state])
    };
    let poll = "http_route_poll_seconds_total";
    let blocked = seconds(poll, "/report", "blocked");
    assert!((0.5..2.0).contains(&blocked), "{printed}");
    assert!(
        seconds(poll, "/report/offloaded", "blocked") < 0.5,
        "{printed}"
    );
    let awaits = "http_route_await_seconds_total";
    assert!(seconds(awaits, "/report/offloaded", "") > 0.5, "{printed}");
    assert_eq!(seconds(awaits, "/report", ""), 0.0, "{printed}");
}
