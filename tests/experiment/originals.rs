//! `--servers` with the article's programs. A server of each kind takes their place, watched from outside as they are.

use std::thread;
use std::time::{Duration, Instant};

use threadlab::proxy::{self, ProxyConfig, RunningProxy, ServerPath, Upstream};

use crate::edges::stderr;
use crate::lab::{Lab, Process, Server, get};
use crate::runner::{Found, command, measured};

/// A front with the routes of the lab and of the two programs.
struct Front(Option<RunningProxy>);

impl Front {
    fn start(servers: [(&'static str, &str); 6], metrics: &str) -> Self {
        let upstreams = servers.map(|(name, server)| Upstream {
            name,
            server: server.parse().unwrap(),
            keep_alive: false,
            threads: ServerPath::new(metrics.parse().unwrap(), "/threads/stream"),
        });
        let bound = proxy::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let config = ProxyConfig::new(upstreams.into());
        Self(Some(proxy::spawn(bound, config).unwrap()))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.shutdown();
            let ended = running.join(Duration::from_secs(10));
            assert!(ended || std::thread::panicking(), "the front did not stop");
        }
    }
}

/// Starts a process that watches servers, and returns it with the address of its metrics port once it exports them.
fn watch(targets: &[(&str, &Server)]) -> (Process, String) {
    let names = targets.iter().flat_map(|(name, server)| {
        let port = server.http.rsplit_once(':').unwrap().1;
        ["--name".to_owned(), format!("{name}=port:{port}")]
    });
    let names: Vec<String> = names.collect();
    let mut arguments = vec!["watch", "--metrics", "127.0.0.1:0"];
    arguments.extend(names.iter().map(String::as_str));
    let process = Process::start(&arguments, 1);
    let address = process.address(0).to_owned();
    let exported = |metrics: &str| {
        targets.iter().all(|(name, _)| {
            metrics.contains(&format!("thread_wall_seconds_total{{server=\"{name}\""))
        })
    };
    let start = Instant::now();
    while !exported(&get(&address, "/metrics").body) {
        assert!(start.elapsed() < Duration::from_secs(10), "not exported");
        thread::sleep(Duration::from_millis(50));
    }
    // It has to see each thread at rest before it knows where that thread waits for work: for 2 s, if it sleeps
    // between two steps, as the one that records the history of the live page.
    thread::sleep(Duration::from_millis(2_500));
    (process, address)
}

#[test]
fn article_and_matrix_compare_all_six_servers() {
    measured(|| {
        let lab = Lab::start(&[]);
        let (flask, fastapi) = (Server::start("sync", &[]), Server::start("async", &[]));
        let gunicorn = Server::start("sync", &[]);
        let gthread = Server::start("sync", &["--threads", "4"]);
        let (_watcher, watched) = watch(&[
            ("flask", &flask),
            ("fastapi", &fastapi),
            ("gunicorn", &gunicorn),
            ("gthread", &gthread),
        ]);
        let front = Front::start(
            [
                ("sync", &lab.sync),
                ("async", &lab.r#async),
                ("flask", &flask.http),
                ("fastapi", &fastapi.http),
                ("gunicorn", &gunicorn.http),
                ("gthread", &gthread.http),
            ],
            &lab.metrics,
        );
        let address = front.0.as_ref().unwrap().local_addr().to_string();
        let all: &[&str] = &["sync", "async", "flask", "fastapi", "gunicorn", "gthread"];
        for (name, seconds, servers, per_server) in
            // Not flask: the synchronous server in its place has a pool for /offloaded, whose threads are seen too.
            [("article", "3", all, 2), ("matrix", "8", &all[3..4], 8)]
        {
            let output = command(&lab, &address, &[name, "--seconds", seconds])
                .args(["--servers", &servers.join(",")])
                .args(["--watchers", &watched])
                .output();
            let output = output.unwrap();
            let found = Found::of(&output);
            assert_eq!(
                (found.verdict(), found.failed_findings().len()),
                ("confirmed", 0),
                "{:#}",
                found.run
            );
            let findings = found.run["findings"].as_array().unwrap();
            let measured: Vec<_> = findings
                .iter()
                .map(|finding| finding["setting"]["server"].as_str().unwrap())
                .collect();
            let expected = servers.iter().flat_map(|name| vec![*name; per_server]);
            assert_eq!(measured, expected.collect::<Vec<_>>());
            let waited = found.run["cpu_wait"].as_object().unwrap();
            assert!(waited.contains_key("fastapi_seconds"), "{waited:?}");
        }
        // The servers appear in the given order, each once.
        let output = command(&lab, &address, &["article", "--seconds", "0.5"])
            .args(["--servers", "fastapi,sync,fastapi", "--watchers", &watched])
            .output();
        let found = Found::of(&output.unwrap());
        let timelines = found.run["timelines"].as_array().unwrap().iter();
        let servers: Vec<_> = timelines.map(|timeline| &timeline["server"]).collect();
        assert_eq!(servers, ["fastapi", "sync"]);
    });
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let lab = Lab::start(&[]);
    let flask = Server::start("sync", &[]);
    let (_watcher, watched) = watch(&[("flask", &flask)]);
    let fails = |servers: &str, watchers: &[&str]| {
        let mut command = command(&lab, &lab.front, &["article", "--seconds", "0.5"]);
        command.args(["--servers", servers]);
        for watcher in watchers {
            command.args(["--watchers", watcher]);
        }
        let output = command.output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.is_empty()),
            (Some(1), false)
        );
        stderr(&output)
    };
    // Port 1 is not in use.
    for (servers, watchers, words) in [
        (
            "flask",
            &[][..],
            "no metrics port (--metrics, --watchers) exports its threads",
        ),
        (
            "sync,fastapi",
            &["127.0.0.1:1"],
            "no response from 127.0.0.1:1 (--watchers)",
        ),
        ("flask", &[&watched], "/flask/dummy returned 404"),
    ] {
        let said = fails(servers, watchers);
        assert!(said.contains(words), "{words}: {said}");
        assert!(
            said.contains("docker compose --profile originals up"),
            "{said}"
        );
    }
}

#[test]
fn servers_are_for_comparisons_only() {
    let lab = Lab::start(&[]);
    let output = command(&lab, &lab.front, &["abort", "--servers", "sync"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("--servers is for the experiments article, matrix, drivers;"),
        "{said}"
    );
}
