//! Errors, other users of the lab, a late load generator, Ctrl-C, and output formats.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::lab::{Lab, get, try_get};
use crate::pages::assert_every_field_is_documented;
use crate::runner::{Found, command, measured, perform, spawn};

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

const IN_FLIGHT: &str = "http_server_active_requests";

/// Waits until a metric, summed over its series, is at least `least`.
fn wait_for_sum(lab: &Lab, metric: &str, least: f64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let series = format!("{metric}{{");
    let sum = || -> f64 {
        let samples = lab.scrape().samples;
        let matching = samples.iter().filter(|(key, _)| key.starts_with(&series));
        matching.map(|(_, value)| value).sum()
    };
    while sum() < least {
        assert!(
            Instant::now() < deadline,
            "{metric} is {}, not {least}",
            sum()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn error_names_the_unreachable_part_and_its_flag() {
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
    // Given in addition to the port that responds.
    let error = stderr(&metrics.unwrap());
    assert!(error.contains("127.0.0.1:1 (--metrics)"), "{error}");
}

/// A TCP relay to the front that can be closed.
struct Relay {
    address: String,
    /// Open connections; `None` once the relay is closed.
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
                        // Either side may close at any time.
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
        // Wakes the listener, which then ends.
        drop(TcpStream::connect(&self.address));
    }
}

#[test]
fn run_is_interrupted_if_the_front_disappears() {
    measured(|| {
        let lab = Lab::start(&[]);
        let relay = Relay::to(&lab.front);
        let runner = spawn(command(
            &lab,
            &relay.address,
            &["article", "--seconds", "2"],
        ));
        wait_for_sum(&lab, IN_FLIGHT, 2.0);
        relay.close();
        let output = runner.wait_with_output().unwrap();
        let found = Found::of(&output);
        assert_eq!((found.verdict(), found.code), ("interrupted", Some(1)));
        for word in ["the front", relay.address.as_str(), "--url"] {
            assert!(stderr(&output).contains(word), "{}", stderr(&output));
        }
    });
}

#[test]
fn metrics_of_both_servers_are_required() {
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
fn invalid_arguments_are_rejected_with_the_allowed_values() {
    for (arguments, word) in [
        (&["nothing"][..], "article"),
        (&["article", "--seconds", "0"], "from 0.5 to 120"),
        (&["article", "--url", "https://127.0.0.1"], "http://HOST"),
        (
            &["article", "--url", "http://127.0.0.1/sync/"],
            "http://HOST",
        ),
        (
            &["article", "--url", "http://127.0.0.1/?lab=2"],
            "http://HOST",
        ),
        (&["article", "--metrics", "nowhere"], "HOST:PORT"),
        (&["capacity", "--wait", "1"], "--rate <PER_SECOND>"),
        (&["capacity", "--target-p99", "1"], "--rate <PER_SECOND>"),
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
fn foreign_requests_make_a_run_void() {
    measured(|| {
        let lab = Lab::start(&[]);
        let runner = spawn(command(&lab, &lab.front, &["article", "--seconds", "2"]));
        wait_for_sum(&lab, IN_FLIGHT, 2.0);
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
    });
}

#[test]
fn error_says_that_the_lab_is_in_use() {
    measured(|| {
        let lab = Lab::start(&[]);
        let address = lab.r#async.clone();
        let other = thread::spawn(move || try_get(&address, "/?seconds=60"));
        wait_for_sum(&lab, IN_FLIGHT, 1.0);
        let output = command(&lab, &lab.front, &["article", "--seconds", "0.5"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        for word in ["in use", "async", "1 request in flight"] {
            assert!(stderr(&output).contains(word), "{}", stderr(&output));
        }
        drop(lab);
        assert!(other.join().unwrap().is_none());
    });
}

#[test]
fn error_states_the_limit_of_open_files() {
    measured(|| {
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
    });
}

#[test]
fn waiting_goes_directly_to_the_server_if_the_front_needs_too_many_files() {
    measured(|| {
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
        assert_eq!(last["setting"]["load"], "500 waiting, 50/s /dummy");
        assert!(
            found.run["notes"].to_string().contains("1400 files"),
            "{}",
            found.run["notes"]
        );
    });
}

#[test]
fn unavailable_experiment_explains_itself_and_does_not_fail_others() {
    measured(|| {
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
    });
}

#[test]
fn lagging_load_generator_makes_a_run_void() {
    measured(|| {
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
    });
}

#[test]
fn ctrl_c_reports_the_results_so_far() {
    measured(|| {
        let lab = Lab::start(&[]);
        let runner = spawn(command(&lab, &lab.front, &["matrix", "--seconds", "6"]));
        // Ten requests of the warm-up, and two for each of the first two cells.
        wait_for_sum(&lab, "http_server_request_duration_seconds_count", 14.0);
        signal("INT", runner.id());
        let found = Found::of(&runner.wait_with_output().unwrap());
        assert_eq!((found.verdict(), found.code), ("interrupted", Some(130)));
        let findings = found.run["findings"].as_array().unwrap().len();
        assert!((2..16).contains(&findings), "{findings}");
    });
}

#[test]
fn table_and_markdown_contain_the_results() {
    measured(|| {
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
                "no colours if stdout is not a terminal"
            );
        }
    });
}

#[test]
fn html_report_is_self_contained_and_every_field_of_the_json_report_is_documented() {
    measured(|| {
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
        // Two timelines and the findings of one experiment, the curves and the findings of the other.
        assert_eq!(page.matches("<svg").count(), 5);
        assert_eq!(page.matches("</svg>").count(), 5);
        assert!(page.contains("#F2495C"), "the colour of blocked");
        // No address except the XML namespace of SVG: nothing is loaded.
        let addresses = page.replace("http://www.w3.org/2000/svg", "");
        for word in ["src=", "http://", "https://", "@import", "url("] {
            assert!(!addresses.contains(word), "{word}");
        }
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_every_field_is_documented(&report);
        for timeline in report["runs"][0]["timelines"].as_array().unwrap() {
            let states = timeline["threads"].as_array().unwrap();
            let end = &states.last().unwrap()["until_seconds"];
            assert_eq!(end, &timeline["seconds"], "a lane ends with its requests");
        }
    });
}

#[test]
fn error_names_the_directory_that_cannot_be_written() {
    measured(|| {
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
    });
}

/// Runs a command whose reader has closed the pipe before the first write.
fn exit_code_with_closed_stdout(mut command: Command) -> (Option<i32>, String) {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn closed_stdout_is_not_an_error() {
    measured(|| {
        let mut list = Command::new(env!("CARGO_BIN_EXE_threadlab"));
        list.args(["experiment", "list"]);
        assert_eq!(exit_code_with_closed_stdout(list), (Some(0), String::new()));
        // The exit status still depends on the verdict.
        let lab = Lab::start(&["--threads", "4"]);
        let article = command(&lab, &lab.front, &["article", "--seconds", "1"]);
        assert_eq!(exit_code_with_closed_stdout(article).0, Some(1));
    });
}

#[test]
fn wrong_url_is_reported_without_a_run() {
    measured(|| {
        let (lab, other) = (Lab::start(&[]), Lab::start(&[]));
        for (url, words) in [
            (
                &lab.sync,
                ["is not the front of a lab", "--url", lab.sync.as_str()],
            ),
            (
                &other.front,
                ["belongs to another lab", "--url", "--metrics"],
            ),
        ] {
            let output = command(&lab, url, &["article", "--seconds", "0.5"]).output();
            let output = output.unwrap();
            assert_eq!(output.status.code(), Some(1));
            for word in words {
                assert!(
                    stderr(&output).contains(word),
                    "{word}: {}",
                    stderr(&output)
                );
            }
            let stdout = String::from_utf8_lossy(&output.stdout);
            assert!(!stdout.contains("interrupted"), "{stdout}");
        }
    });
}

#[test]
fn a_run_waits_for_the_leftovers_of_an_interrupted_one() {
    measured(|| {
        let lab = Lab::start(&[]);
        let interrupted = spawn(command(&lab, &lab.front, &["article", "--seconds", "8"]));
        wait_for_sum(&lab, IN_FLIGHT, 2.0);
        signal("INT", interrupted.id());
        assert_eq!(
            interrupted.wait_with_output().unwrap().status.code(),
            Some(130)
        );
        // The synchronous thread is blocked for longer than a run of 0.5 s waits for a busy lab.
        let output = command(&lab, &lab.front, &["article", "--seconds", "0.5"]).output();
        let output = output.unwrap();
        let found = Found::of(&output);
        assert!(
            ["confirmed", "void"].contains(&found.verdict()),
            "{:#}",
            found.run
        );
        for word in [
            "waiting until the sync server has finished",
            "of an earlier run",
        ] {
            assert!(stderr(&output).contains(word), "{}", stderr(&output));
        }
    });
}

#[test]
fn an_interruption_before_the_first_result_keeps_the_report_of_an_earlier_call() {
    let kept = |directory: &Path| fs::read_to_string(directory.join("report.json")).unwrap();
    let lab = Lab::start(&[]);
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("interrupted-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("report.json"), "earlier").unwrap();
    let mut first = command(&lab, &lab.front, &["article", "--seconds", "6"]);
    first.arg("--out").arg(&directory);
    let first = spawn(first);
    wait_for_sum(&lab, IN_FLIGHT, 2.0);
    signal("INT", first.id());
    assert_eq!(first.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(kept(&directory), "earlier");
    // The second one waits until the synchronous thread has finished the request of the first.
    let mut second = command(&lab, &lab.front, &["article", "--seconds", "0.5"]);
    second.arg("--out").arg(&directory);
    let mut second = spawn(second);
    let mut notice = String::new();
    let mut errors = BufReader::new(second.stderr.take().unwrap());
    errors.read_line(&mut notice).unwrap();
    assert!(notice.contains("of an earlier run"), "{notice}");
    signal("INT", second.id());
    assert_eq!(second.wait_with_output().unwrap().status.code(), Some(130));
    let kept = kept(&directory);
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(kept, "earlier");
}

#[test]
fn load_states_the_real_delay_of_dummy() {
    measured(|| {
        let lab = Lab::start(&[]);
        for (seconds, load) in [
            ("1", "/, after 0.25 s /dummy"),
            ("2", "/, after 0.50 s /dummy"),
        ] {
            let found = perform(&lab, &lab.front, "article", seconds);
            assert_eq!(found.run["findings"][0]["setting"]["load"], load);
            assert!(
                !found.run["model"]
                    .as_str()
                    .unwrap()
                    .contains("half a second")
            );
        }
    });
}
