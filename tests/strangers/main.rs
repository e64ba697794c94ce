//! Services as strangers write them, in a project of their own: each is stalled in four ways. `/metrics` shows
//! which route does it and which one suffers *meanwhile*, and afterwards how long the longest hold was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/outside_project.rs"]
mod outside_project;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

/// A way to hold a thread.
struct Stall {
    kind: &'static str,
    /// States of the thread meanwhile; it computes in the first one or is blocked in it.
    states: &'static [&'static str],
    seconds: f64,
}

const fn blocked(kind: &'static str) -> Stall {
    Stall {
        kind,
        states: &["blocked"],
        seconds: 0.4,
    }
}

const STALLS: [Stall; 4] = [
    blocked("sleep"),
    blocked("lock"),
    blocked("client"),
    Stall {
        kind: "cpu",
        // The second one if the machine is busy.
        states: &["running", "runnable"],
        seconds: 0.1,
    },
];

/// Attempts to scrape during a stall: on a busy machine, a scrape may take longer than the stall.
const ATTEMPTS: usize = 5;

/// Folder of the built programs.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(build);

/// Builds the services.
fn build() -> PathBuf {
    let services = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/strangers/services");
    let sources = fs::read_dir(services).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let to = match name {
            // A module, not a program.
            "stalls.rs" => "stalls/mod.rs",
            name => name.strip_suffix(".rs").map(|_| name)?,
        };
        Some((to.to_owned(), fs::read_to_string(&path).unwrap()))
    });
    let manifest = include_str!("services/Cargo.toml.in");
    outside_project::build("strangers", manifest, &sources.collect::<Vec<_>>())
}

/// A running service, killed on drop.
struct Service {
    child: Child,
    metrics: String,
    server: String,
}

impl Service {
    /// Starts a program with so many worker threads.
    fn start(program: &Path, workers: &str) -> Self {
        let mut child = Command::new(program)
            // As for `#[tokio::main]`, tokio reads it itself.
            .env("TOKIO_WORKER_THREADS", workers)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = |label| {
            let line = lines.next().unwrap().unwrap();
            String::from(line.strip_prefix(label).unwrap())
        };
        let (metrics, server) = (line("metrics: "), line("server: "));
        // tonic binds after that.
        while TcpStream::connect(&server).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
        Self {
            child,
            metrics,
            server,
        }
    }

    fn metrics(&self) -> String {
        let mut response = ureq::get(&self.metrics).call().unwrap();
        response.body_mut().read_to_string().unwrap()
    }

    /// Value of the series whose name is `name` and whose labels contain all these; 0 if there is none.
    fn value(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics();
        let mut lines = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('{'))
                && labels.iter().all(|label| line.contains(label))
        });
        let line = lines.next();
        line.map_or(0.0, |line| {
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stalls a service in each way. `send` requests work by its name, the kind of the stall or `victim`, and returns
/// after the response. The names of the routes are those of the stall, with `{}` for the kind, and of the victim.
fn stalled_in_each_way(name: &str, [stall, victim]: [&str; 2], send: fn(&str, &str)) {
    let service = Service::start(&PROGRAMS.join(name), "1");
    for way in STALLS {
        let routes = [&*stall.replace("{}", way.kind), victim];
        let seen = (0..ATTEMPTS).any(|_| is_seen_meanwhile(&service, &way, routes, send));
        assert!(seen, "{name}, {}: not seen before its end", way.kind);
    }
}

/// Stalls a service once. Checks the metrics after that, and returns whether they showed the route that did it and
/// the one that suffered meanwhile.
fn is_seen_meanwhile(
    service: &Service,
    way: &Stall,
    [culprit, victim]: [&str; 2],
    send: fn(&str, &str),
) -> bool {
    let [culprit, victim] = [culprit, victim].map(|route| format!("http_route=\"{route}\""));
    let polls = "http_route_poll_seconds_total";
    let held = || -> f64 {
        let of_state =
            |state: &&str| service.value(polls, &[&culprit, &format!("state=\"{state}\"")]);
        way.states.iter().map(of_state).sum()
    };
    let ready = || service.value("http_route_ready_seconds_total", &[&victim]);
    // Holds that were longer than a twentieth of the stall.
    let long = || {
        let state = format!("state=\"{}\"", way.states[0]);
        let count = |bound| {
            let labels = [&*culprit, &state, bound];
            service.value("http_route_hold_seconds_bucket", &labels)
        };
        count("le=\"+Inf\"") - count("le=\"0.005\"")
    };
    let (held_before, long_before) = (held(), long());
    let mut seen = false;
    thread::scope(|scope| {
        let suffers = scope.spawn(|| send(&service.server, "victim"));
        // Until it is at work.
        let begun = || service.value(polls, &[&victim, "\"running\""]);
        let before = begun();
        while begun() == before && !suffers.is_finished() {}
        let ready_before = ready();
        let stalls = scope.spawn(|| send(&service.server, way.kind));
        while !stalls.is_finished() && !seen {
            let part = way.seconds / 4.0;
            seen = held() - held_before > part && ready() - ready_before > part;
            seen &= !stalls.is_finished();
        }
    });
    let held = held() - held_before;
    assert!(
        held > 0.9 * way.seconds,
        "{culprit}, {}: held {held} s",
        way.kind
    );
    assert!(
        long() - long_before >= 1.0,
        "{culprit}, {}: no long hold",
        way.kind
    );
    seen
}

/// Sends `GET path` and waits for the end of the response.
fn get(server: &str, path: &str) {
    let mut response = ureq::get(format!("http://{server}{path}")).call().unwrap();
    response.body_mut().read_to_vec().unwrap();
}

fn get_http(server: &str, work: &str) {
    match work {
        "victim" => get(server, "/victim"),
        kind => get(server, &format!("/stall/{kind}")),
    }
}

const HTTP: [&str; 2] = ["/stall/{kind}", "/victim"];

#[test]
fn axum_in_place_of_tokio_main() {
    stalled_in_each_way("axum_main", HTTP, get_http);
}

#[test]
fn axum_within_other_middleware() {
    stalled_in_each_way("layers", HTTP, get_http);
}

#[test]
fn hyper_without_a_router() {
    stalled_in_each_way("hyper_alone", HTTP, get_http);
}

#[test]
fn tonic() {
    stalled_in_each_way(
        "grpc",
        ["/shop.Stall/{}", "/shop.Victim/Get"],
        |server, work| match work {
            "victim" => get(server, "/shop.Victim/Get"),
            kind => get(server, &format!("/shop.Stall/{kind}")),
        },
    );
}

#[test]
fn a_registry_with_a_metric_of_the_same_name() {
    stalled_in_each_way("own_registry", HTTP, get_http);
}

#[test]
fn a_line_protocol() {
    stalled_in_each_way("lines", ["stall", "victim"], |server, work| {
        let mut stream = TcpStream::connect(server).unwrap();
        writeln!(stream, "{work}").unwrap();
        let mut response = [0; 5];
        stream.read_exact(&mut response).unwrap();
        assert_eq!(&response, b"done\n");
    });
}

#[test]
fn a_websocket() {
    stalled_in_each_way("websocket", ["stall", "victim"], |server, work| {
        let mut stream = TcpStream::connect(server).unwrap();
        // The key of RFC 6455, section 1.3.
        write!(
            stream,
            "GET /socket HTTP/1.1\r\nhost: {server}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        // A text frame, masked with zeroes (section 5.2).
        let mut frame = vec![0x81, 0x80 | work.len() as u8, 0, 0, 0, 0];
        frame.extend(work.bytes());
        stream.get_mut().write_all(&frame).unwrap();
        let mut response = [0; 6];
        stream.read_exact(&mut response).unwrap();
        assert_eq!(&response, b"\x81\x04done");
    });
}

#[test]
fn block_in_place() {
    is_seen_in_place(&PROGRAMS.join("in_place"));
}

/// As with an LTS release of tokio, which is too old for the feature `worker-index`.
#[test]
fn block_in_place_without_the_numbers_of_workers() {
    let manifest = include_str!("services/Cargo.toml.in");
    let default = "features = [\"prometheus\"]";
    let without = "default-features = false, features = [\"axum\", \"exporter\", \"prometheus\"]";
    assert!(manifest.contains(&format!("thread-states\", {default}")));
    let manifest = manifest.replace(
        &format!("thread-states\", {default}"),
        &format!("thread-states\", {without}"),
    );
    let program = include_str!("services/in_place.rs").to_owned();
    let programs = [("in_place_without_numbers.rs".to_owned(), program)];
    let folder = outside_project::build("strangers-without-numbers", &manifest, &programs);
    is_seen_in_place(&folder.join("in_place_without_numbers"));
}

/// Runs a program with two workers, of which one is blocked and the other one is handed to another thread.
fn is_seen_in_place(program: &Path) {
    let service = Service::start(program, "2");
    let seen = (0..ATTEMPTS).any(|_| hands_over_the_right_worker(&service));
    assert!(seen, "not seen before its end: {}", service.metrics());
}

/// Blocks one worker of two; the other one is handed to another thread, and goes on. Checks the metrics after that, and
/// returns whether they showed it meanwhile.
fn hands_over_the_right_worker(service: &Service) -> bool {
    let poll = |route| {
        let labels = [&*format!("http_route=\"{route}\""), "state=\"blocked\""];
        service.value("http_route_poll_seconds_total", &labels)
    };
    let awaited = || {
        service.value(
            "http_route_await_seconds_total",
            &["http_route=\"/in-place\""],
        )
    };
    let values = || [poll("/blocking"), poll("/in-place"), awaited()];
    let since = |before: [f64; 3]| {
        let now = values();
        [0, 1, 2].map(|index| now[index] - before[index])
    };
    let before = values();
    let mut seen = false;
    thread::scope(|scope| {
        let blocks = scope.spawn(|| get(&service.server, "/blocking"));
        while since(before)[0] < 0.1 && !blocks.is_finished() {}
        let in_place = scope.spawn(|| get(&service.server, "/in-place"));
        thread::sleep(Duration::from_millis(150));
        get(&service.server, "/");
        while !seen && !blocks.is_finished() && !in_place.is_finished() {
            let [blocking, in_place, awaited] = since(before);
            seen = blocking > 0.3 && in_place < 0.1 && awaited > 0.1;
        }
        seen &= !blocks.is_finished();
    });
    let [blocking, in_place, awaited] = since(before);
    let times = format!("blocked {blocking} s and in place {in_place} s, awaited {awaited} s");
    assert!(blocking > 0.55, "{times}");
    seen && in_place < 0.1 && awaited > 0.5
}
