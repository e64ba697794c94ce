//! What is not an experiment's normal course: errors, strangers, a late generator, Ctrl-C, formats.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::lab::{Lab, get, try_get};
use crate::runner::{Found, command, machine, perform, spawn};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_part_that_does_not_answer_is_named_with_its_flag() {
    let lab = Lab::start(&[]);
    // Nothing listens on port 1.
    let front = command(&lab, "127.0.0.1:1", &["article"]).output().unwrap();
    assert_eq!(front.status.code(), Some(1));
    for word in ["the front", "127.0.0.1:1", "--url", "is the lab running"] {
        assert!(stderr(&front).contains(word), "{word}: {}", stderr(&front));
    }
    let metrics = command(&lab, &lab.front, &["article"])
        .args(["--metrics", "127.0.0.1:1"])
        .output();
    // Beside the port that answers.
    let said = stderr(&metrics.unwrap());
    assert!(said.contains("127.0.0.1:1 (--metrics)"), "{said}");
}

/// A way to the front that can be closed.
struct Relay {
    address: String,
    /// What is connected; `None` once it is closed.
    streams: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Relay {
    fn to(front: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let streams = Arc::new(Mutex::new(Some(Vec::new())));
        let (front, connected) = (front.to_owned(), Arc::clone(&streams));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Some(streams) = &mut *connected.lock().unwrap() else {
                    return;
                };
                let (client, server) = (client.unwrap(), TcpStream::connect(&front).unwrap());
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        // Either side may leave at any time.
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                streams.extend([client, server]);
            }
        });
        Self { address, streams }
    }

    fn close(&self) {
        let streams = self.streams.lock().unwrap().take();
        for stream in streams.unwrap() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // For this one the listener looks, and ends.
        drop(TcpStream::connect(&self.address));
    }
}

#[test]
fn a_front_that_goes_away_contradicts_nothing() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let relay = Relay::to(&lab.front);
    let runner = spawn(command(
        &lab,
        &relay.address,
        &["article", "--seconds", "4"],
    ));
    thread::sleep(Duration::from_secs(2));
    relay.close();
    let output = runner.wait_with_output().unwrap();
    let found = Found::of(&output);
    assert_eq!((found.verdict(), found.code), ("interrupted", Some(1)));
    for word in ["the front", relay.address.as_str(), "--url"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[test]
fn metrics_of_one_server_are_not_enough() {
    let lab = Lab::start(&[]);
    let server = crate::lab::Server::start("sync", &[]);
    let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args([
            "experiment",
            "article",
            "--url",
            &format!("http://{}", lab.front),
        ])
        .args([
            "--metrics",
            &server.metrics,
            "--sync",
            &lab.sync,
            "--async",
            &lab.r#async,
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("async"), "{}", stderr(&output));
}

#[test]
fn bad_names_and_values_are_refused_with_what_is_allowed() {
    for (arguments, word) in [
        (&["nothing"][..], "article"),
        (&["article", "--seconds", "0"], "from 0.5 to 120"),
        (&["article", "--url", "https://127.0.0.1"], "http://HOST"),
        (
            &["article", "--url", "http://127.0.0.1/sync/"],
            "http://HOST",
        ),
        (&["article", "--metrics", "nowhere"], "HOST:PORT"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
            .arg("experiment")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[test]
fn requests_of_others_make_a_run_void() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let runner = spawn(command(&lab, &lab.front, &["article", "--seconds", "4"]));
    thread::sleep(Duration::from_secs(1));
    for _ in 0..20 {
        get(&lab.r#async, "/dummy");
    }
    let found = Found::of(&runner.wait_with_output().unwrap());
    assert_eq!((found.verdict(), found.code), ("void", Some(3)));
    assert!(
        found.run["notes"][0]
            .as_str()
            .unwrap()
            .contains("someone else")
    );
}

#[test]
fn a_lab_that_someone_else_keeps_busy_is_said() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let address = lab.r#async.clone();
    let stranger = thread::spawn(move || try_get(&address, "/?seconds=60"));
    thread::sleep(Duration::from_millis(500));
    let output = command(&lab, &lab.front, &["article", "--seconds", "0.5"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    for word in ["someone else", "async", "1 requests"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    drop(lab);
    assert!(stranger.join().unwrap().is_none());
}

#[test]
fn too_few_files_are_said_with_the_limit() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let command = command(&lab, &lab.front, &["waiting", "--seconds", "1"]);
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 256; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env("THREADLAB_FORMAT", "json")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    for word in ["256", "ulimit -n"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[test]
fn thousands_go_straight_to_the_gateway_where_the_front_would_take_too_many_files() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let files = Rlimit {
        current: Some(1400),
        maximum: Some(1400),
    };
    let process = Pid::from_raw(lab.process.pid().cast_signed());
    prlimit(process, Resource::Nofile, files).unwrap();
    let found = perform(&lab, &lab.front, "waiting", "1");
    assert_eq!(found.verdict(), "confirmed", "{:#}", found.run);
    let last = found.run["findings"].as_array().unwrap().last().unwrap();
    assert_eq!(last["setting"]["via"], "direct");
    assert_eq!(last["setting"]["load"], "500 wait, 50/s /dummy");
    assert!(
        found.run["notes"].to_string().contains("1400 files"),
        "{}",
        found.run["notes"]
    );
}

#[test]
fn an_experiment_that_is_not_for_this_lab_says_so_and_fails_no_other() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let alone = command(&lab, &lab.front, &["failover"]).output().unwrap();
    let found = Found::of(&alone);
    assert_eq!((found.verdict(), found.code), ("not-here", Some(4)));
    let why = found.run["notes"][0].as_str().unwrap();
    assert!(why.contains("scripts/failover"), "{why}");
    let both = command(&lab, &lab.front, &["failover", "article"])
        .args(["--seconds", "1"])
        .output();
    let both = both.unwrap();
    assert_eq!(both.status.code(), Some(0), "{}", stderr(&both));
}

#[test]
fn a_generator_that_lags_makes_a_run_void() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let runner = spawn(command(&lab, &lab.front, &["capacity", "--seconds", "6"]));
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(700));
        signal("STOP", runner.id());
        thread::sleep(Duration::from_millis(700));
        signal("CONT", runner.id());
    }
    let found = Found::of(&runner.wait_with_output().unwrap());
    assert_eq!((found.verdict(), found.code), ("void", Some(3)));
    assert!(
        found.run["notes"].to_string().contains("late"),
        "{}",
        found.run["notes"]
    );
    assert!(found.run["generator"]["lag_max_seconds"].as_f64().unwrap() > 0.3);
}

#[test]
fn ctrl_c_ends_it_with_what_was_measured() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let runner = spawn(command(&lab, &lab.front, &["matrix", "--seconds", "20"]));
    thread::sleep(Duration::from_secs(5));
    signal("INT", runner.id());
    let found = Found::of(&runner.wait_with_output().unwrap());
    assert_eq!((found.verdict(), found.code), ("interrupted", Some(130)));
    let findings = found.run["findings"].as_array().unwrap().len();
    assert!((2..16).contains(&findings), "{findings}");
}

#[test]
fn the_other_formats_say_the_same() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    for (format, words) in [
        (
            "table",
            ["waits for a thread", "latency of /dummy", "1 thread", "p99"],
        ),
        (
            "markdown",
            ["## article", "| sync, 1 thread |", "```text", "Verdict: **"],
        ),
    ] {
        let output = command(
            &lab,
            &lab.front,
            &["article", "--seconds", "1", "--format", format],
        )
        .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        for word in words {
            assert!(text.contains(word), "{format} has no {word}: {text}");
        }
        assert!(
            !text.contains('\x1b'),
            "no colours where stdout is no terminal"
        );
    }
}

#[test]
fn the_page_needs_nothing_else_to_be_shown() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("experiment-report");
    let arguments = ["article", "capacity", "--seconds", "1"];
    let output = command(&lab, &lab.front, &arguments)
        .arg("--out")
        .arg(&directory)
        .output();
    let page = std::fs::read_to_string(directory.join("index.html")).unwrap();
    let report = std::fs::read(directory.join("report.json")).unwrap();
    assert_eq!(report, output.unwrap().stdout);
    // Two timelines and the findings of one, the latencies and the findings of the other.
    assert_eq!(page.matches("<svg").count(), 5);
    assert_eq!(page.matches("</svg>").count(), 5);
    assert!(page.contains("#F2495C"), "the colour of blocked");
    // But for the name of SVG itself, no address: nothing is loaded from anywhere.
    let addresses = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["src=", "http://", "https://", "@import", "url("] {
        assert!(!addresses.contains(word), "{word}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_said() {
    let _machine = machine();
    let lab = Lab::start(&[]);
    let output = command(
        &lab,
        &lab.front,
        &["article", "--seconds", "0.5", "--out", "/dev/null/x"],
    )
    .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/dev/null/x (--out)"),
        "{}",
        stderr(&output)
    );
}
