//! The program as a process: its output, its exit status, the arguments it rejects.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common {
    pub(crate) mod lab;
}

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use common::lab::{Lab, Scrape, Server, get, try_get};

fn threadlab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until this many requests are in flight on the servers behind a metrics port.
fn wait_for_requests(metrics: &str, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let in_flight = || -> u64 {
        let servers = get(metrics, "/threads").json();
        let active = |server: &serde_json::Value| server["active_requests"].as_u64().unwrap();
        servers.as_array().unwrap().iter().map(active).sum()
    };
    while in_flight() < count {
        assert!(
            Instant::now() < deadline,
            "{count} requests never in flight"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Both signals that a user or an orchestrator sends, with the exit status of a second one.
const SIGNALS: [(&str, i32); 2] = [("TERM", 143), ("INT", 130)];

#[test]
fn a_pause_blocks_a_thread_that_computes_and_leaves_another_one_idle() {
    let server = Server::start("async", &["--threads", "1"]);
    let pause = || {
        server.process.signal("STOP");
        thread::sleep(Duration::from_secs(1));
        server.process.signal("CONT");
    };
    let before = Scrape::of(&server.metrics);
    pause();
    let paused = Scrape::of(&server.metrics);
    let gain =
        |from: &Scrape, to: &Scrape, state| to.state("async", state) - from.state("async", state);
    assert!(gain(&before, &paused, "idle") > 0.95, "{paused:?}");
    assert_eq!(gain(&before, &paused, "blocked"), 0.0);
    let lasted = thread::scope(|scope| {
        scope.spawn(|| assert_eq!(get(&server.http, "/cpu?seconds=0.6").status, 200));
        wait_for_requests(&server.metrics, 1);
        let begun = Instant::now();
        pause();
        begun.elapsed().as_secs_f64()
    });
    let computed = Scrape::of(&server.metrics);
    let blocked = gain(&paused, &computed, "blocked");
    assert!(
        (0.9..lasted + 0.2).contains(&blocked),
        "{blocked} s of {lasted} s"
    );
}

#[test]
fn requests_that_no_thread_has_taken_are_counted_with_the_age_of_the_oldest() {
    for (kind, path) in [
        ("sync", "/?seconds=1.5"),
        ("async", "/blocking?seconds=1.5"),
    ] {
        let server = Server::start(kind, &[]);
        let queued =
            |place| format!(r#"http_server_queued_requests{{server="{kind}",where="{place}"}}"#);
        let oldest = format!(r#"http_server_oldest_queued_seconds{{server="{kind}"}}"#);
        let before = Scrape::of(&server.metrics);
        assert_eq!(before.value(&queued("accept")), 0.0);
        assert_eq!(
            (before.value(&queued("socket")), before.value(&oldest)),
            (0.0, 0.0)
        );
        thread::scope(|scope| {
            scope.spawn(|| get(&server.http, path));
            wait_for_requests(&server.metrics, 1);
            let sent = Instant::now();
            scope.spawn(|| get(&server.http, "/dummy"));
            scope.spawn(|| get(&server.http, "/dummy"));
            while Scrape::of(&server.metrics).value(&queued("accept")) < 2.0 {
                assert!(sent.elapsed() < Duration::from_secs(10), "{kind}");
                thread::sleep(Duration::from_millis(10));
            }
            thread::sleep(Duration::from_millis(300));
            let during = Scrape::of(&server.metrics);
            let most = sent.elapsed().as_secs_f64();
            assert_eq!(during.value(&queued("accept")), 2.0, "{kind}");
            let age = during.value(&oldest);
            assert!((0.3..most).contains(&age), "{kind}: {age} of {most}");
        });
        assert_eq!(Scrape::of(&server.metrics).value(&queued("accept")), 0.0);
    }
}

#[test]
fn the_lab_starts_within_seconds_and_responds_at_once() {
    let started = Instant::now();
    let lab = Lab::start(&[]);
    assert_eq!(get(&lab.front, "/async/dummy").status, 200);
    assert_eq!(get(&lab.front, "/sync/dummy").status, 200);
    assert_eq!(get(&lab.metrics, "/readyz").status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn after_a_signal_requests_finish_and_the_exit_status_is_0() {
    for (signal, _) in SIGNALS {
        let mut lab = Lab::start(&[]);
        let (front, metrics) = (lab.front.clone(), lab.metrics.clone());
        thread::scope(|scope| {
            let send = |path: &'static str| {
                let front = &front;
                scope.spawn(move || get(front, path))
            };
            let waiting = [send("/sync/?seconds=1.5"), send("/async/?seconds=1.5")];
            wait_for_requests(&metrics, 2);
            assert_eq!(get(&metrics, "/readyz").status, 200);
            lab.process.signal(signal);
            let deadline = Instant::now() + Duration::from_secs(1);
            while get(&metrics, "/readyz").status != 503 {
                assert!(Instant::now() < deadline, "still ready after the signal");
                thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(get(&metrics, "/healthz").status, 200, "still alive");
            // The front closes its listener just after readiness changes.
            while try_get(&front, "/async/dummy").is_some() {
                assert!(Instant::now() < deadline, "still accepts new requests");
                thread::sleep(Duration::from_millis(10));
            }
            for response in waiting {
                assert_eq!(response.join().unwrap().status, 200);
            }
        });
        assert_eq!(
            lab.process.exit_code(Duration::from_secs(5)),
            Some(0),
            "{signal}"
        );
    }
}

/// The synchronous server has not taken the second request when the signal comes.
#[test]
fn after_a_signal_requests_that_wait_behind_the_front_are_served() {
    let mut lab = Lab::start(&[]);
    let front = lab.front.clone();
    let waiting = thread::spawn({
        let front = front.clone();
        move || get(&front, "/sync/?seconds=2")
    });
    wait_for_requests(&lab.metrics, 1);
    let queued = thread::spawn(move || get(&front, "/sync/dummy"));
    let series = r#"http_server_queued_requests{server="sync",where="accept"}"#;
    while Scrape::of(&lab.metrics).value(series) < 1.0 {
        assert!(!queued.is_finished(), "it did not wait");
        thread::sleep(Duration::from_millis(10));
    }
    lab.process.signal("TERM");
    for response in [waiting, queued] {
        assert_eq!(response.join().unwrap().status, 200);
    }
    assert_eq!(lab.process.exit_code(Duration::from_secs(5)), Some(0));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, code) in SIGNALS {
        let mut server = Server::start("sync", &[]);
        let http = server.http.clone();
        let waiting = thread::spawn(move || try_get(&http, "/?seconds=60"));
        wait_for_requests(&server.metrics, 1);
        server.process.signal(signal);
        assert_eq!(
            server.process.exit_code(Duration::from_millis(500)),
            None,
            "a request is in flight"
        );
        server.process.signal(signal);
        assert_eq!(server.process.exit_code(Duration::from_secs(2)), Some(code));
        assert!(waiting.join().unwrap().is_none());
    }
}

#[test]
fn requests_that_outlast_the_grace_period_make_the_exit_status_1() {
    for kind in ["sync", "async"] {
        let mut server = Server::start(kind, &["--grace", "0.5"]);
        let http = server.http.clone();
        let waiting = thread::spawn(move || try_get(&http, "/?seconds=60"));
        wait_for_requests(&server.metrics, 1);
        server.process.signal("TERM");
        assert_eq!(
            server.process.exit_code(Duration::from_secs(5)),
            Some(1),
            "{kind}"
        );
        assert!(waiting.join().unwrap().is_none());
    }
}

#[test]
fn the_error_for_a_taken_port_names_address_and_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    let up = ["--front", "--sync", "--async", "--metrics"];
    for flag in up {
        let mut arguments: Vec<&str> = up.iter().flat_map(|flag| [*flag, free]).collect();
        let at = arguments
            .iter()
            .position(|argument| *argument == flag)
            .unwrap();
        arguments[at + 1] = &address;
        let output = threadlab(&arguments);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.contains(&address) && message.contains(flag),
            "{flag}: {message}"
        );
    }
    for kind in ["sync", "async"] {
        let arguments = [
            "serve",
            kind,
            "--listen",
            &address,
            "--metrics",
            free,
            "--threads",
            "2",
        ];
        let message = stderr(&threadlab(&arguments));
        assert!(
            message.contains(&address) && message.contains("--listen"),
            "{message}"
        );
    }
}

#[test]
fn too_few_file_descriptors_are_a_plain_error() {
    // With fewer than 10 the runtime itself cannot start.
    for limit in 10..40 {
        let ports = "--front 127.0.0.1:0 --sync 127.0.0.1:0 --async 127.0.0.1:0";
        let command = format!(
            "ulimit -n {limit}; exec {} {ports} --metrics 127.0.0.1:0 --threads 8",
            env!("CARGO_BIN_EXE_threadlab")
        );
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{limit}: {message}");
        assert!(
            message.contains("Too many open files"),
            "{limit}: {message}"
        );
    }
}

/// Connects a client that waits for a response for at most 10 s.
#[cfg(target_os = "linux")]
fn connect(server: &Server) -> TcpStream {
    let client = TcpStream::connect(&server.http).unwrap();
    let longest = Some(Duration::from_secs(10));
    client.set_read_timeout(longest).unwrap();
    client
}

#[cfg(target_os = "linux")]
fn send(mut client: &TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
}

/// Returns whether the client gets a response with status 200.
#[cfg(target_os = "linux")]
fn is_served(mut client: &TcpStream) -> bool {
    let mut response = [0; 4096];
    let length = client.read(&mut response).unwrap_or(0);
    response[..length].starts_with(b"HTTP/1.1 200 ")
}

/// As after `docker pause`: the deadlines have passed as well when the process sees the requests.
#[test]
#[cfg(target_os = "linux")]
fn requests_that_arrive_while_the_process_is_stopped_are_served() {
    let served = |kind, option| {
        let timeouts = ["--read-timeout", "2", "--idle-timeout", "2"];
        let arguments: Vec<_> = timeouts.into_iter().chain(option).collect();
        let server = Server::start(kind, &arguments);
        let kept: Vec<_> = (0..20).map(|_| connect(&server)).collect();
        for client in &kept {
            send(client, "/dummy");
            assert!(is_served(client));
        }
        let new: Vec<_> = (0..5).map(|_| connect(&server)).collect();
        let mut uploading = connect(&server);
        let head = b"GET /dummy HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\n1";
        uploading.write_all(head).unwrap();
        wait_for_requests(&server.metrics, 1);
        server.process.signal("STOP");
        for client in kept.iter().chain(&new) {
            send(client, "/dummy");
        }
        uploading.write_all(b"2").unwrap();
        thread::sleep(Duration::from_millis(2_500));
        server.process.signal("CONT");
        let clients = kept.iter().chain(&new).chain([&uploading]);
        let served = clients.filter(|client| is_served(client)).count();
        assert_eq!(served, 26, "{kind}");
    };
    thread::scope(|scope| {
        scope.spawn(|| served("sync", Some("--keep-alive")));
        scope.spawn(|| served("async", None));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn connections_that_were_idle_for_longest_give_up_their_descriptors() {
    let server = Server::with_few_files(60, "sync", "--keep-alive");
    let mut clients: Vec<_> = (0..150)
        .map(|_| {
            let client = connect(&server);
            send(&client, "/dummy");
            assert!(is_served(&client));
            client
        })
        .collect();
    // Some are left for the metrics port.
    Scrape::of(&server.metrics);
    let is_open = |client: &mut TcpStream| {
        client.set_nonblocking(true).unwrap();
        let read = client.read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let open: Vec<_> = clients.iter_mut().map(is_open).collect();
    assert!(!open[..100].contains(&true), "{open:?}");
    assert!(open[100..].contains(&true), "{open:?}");
}

/// The thread has the last descriptor, and the request comes on the connection that would give up its own.
#[test]
#[cfg(target_os = "linux")]
fn a_request_on_the_oldest_connection_is_served_while_descriptors_are_scarce() {
    const LIMIT: u32 = 64;
    let server = Server::with_few_files(LIMIT, "sync", "--keep-alive");
    let is_used = |number: u32| {
        let file = format!("/proc/{}/fd/{number}", server.process.pid());
        std::fs::symlink_metadata(file).is_ok()
    };
    let mut clients: Vec<TcpStream> = Vec::new();
    // One eighth of the descriptors is left.
    while !(0..LIMIT - LIMIT / 8).all(is_used) {
        assert!(clients.len() < LIMIT as usize, "no descriptor is used");
        let client = connect(&server);
        send(&client, "/dummy");
        assert!(is_served(&client));
        clients.push(client);
    }
    let (oldest, newest) = (clients.first().unwrap(), clients.last().unwrap());
    send(newest, "/?seconds=1");
    // Not by a scrape, which would use a descriptor.
    thread::sleep(Duration::from_millis(300));
    let last = connect(&server);
    send(&last, "/dummy");
    // The kernel tells of the new connection first.
    thread::sleep(Duration::from_millis(100));
    send(oldest, "/dummy");
    for (name, client) in [("newest", newest), ("last", &last), ("oldest", oldest)] {
        assert!(is_served(client), "{name}");
    }
    assert_eq!(get(&server.http, "/dummy").status, 200);
}

#[test]
#[cfg(target_os = "linux")]
fn the_front_keeps_connections_to_a_synchronous_server_that_keeps_them() {
    /// Number of established connections of which this address is the server's end.
    fn established(address: &str) -> usize {
        let address: SocketAddrV4 = address.parse().unwrap();
        // The kernel writes the address as a number in the machine's byte order.
        let ip = u32::from_ne_bytes(address.ip().octets());
        let local = format!("{ip:08X}:{:04X}", address.port());
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let columns = sockets
            .lines()
            .map(|line| line.split_whitespace().collect());
        columns
            .filter(|columns: &Vec<_>| columns[1] == local && columns[3] == "01")
            .count()
    }

    for (arguments, kept) in [(&["--keep-alive"][..], 1), (&[], 0)] {
        let lab = Lab::start(arguments);
        for _ in 0..5 {
            assert_eq!(get(&lab.front, "/sync/dummy").status, 200);
        }
        // The server closes after the client has its response.
        thread::sleep(Duration::from_millis(100));
        let deadline = Instant::now() + Duration::from_secs(5);
        while established(&lab.sync) != kept {
            assert!(Instant::now() < deadline, "{arguments:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_full_stdout_or_an_early_signal_does_no_harm() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(["serve", "async", "--listen", "127.0.0.1:0"])
        .args(["--metrics", "127.0.0.1:0"])
        .stdout(full)
        .spawn()
        .unwrap();
    let catches_term = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & 1 << (15 - 1) != 0
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while !catches_term() {
        assert!(Instant::now() < deadline, "SIGTERM is never caught");
        thread::sleep(Duration::from_micros(100));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_stops_early_is_not_an_error() {
    for arguments in [["experiment", "list"], ["serve", "--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
            .args(arguments)
            .stdout(writer)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn errors_for_invalid_flags_and_variables_say_what_is_allowed() {
    let output = threadlab(&["serve", "sync", "--threads", "0"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("--threads") && message.contains("from 1 to 4096"),
        "{message}"
    );

    let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(["serve", "async"])
        .env("THREADLAB_BACKLOG", "many")
        .output()
        .unwrap();
    let message = stderr(&output);
    assert!(
        !output.status.success() && message.contains("many") && message.contains("--backlog"),
        "{message}"
    );
}

#[test]
fn variables_set_the_flags_of_every_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_threadlab"))
        .args(["serve", "async", "--metrics", "127.0.0.1:0"])
        .env("THREADLAB_LISTEN", "203.0.113.1:1")
        .env("THREADLAB_FRONT", "127.0.0.1:0")
        .env("THREADLAB_THREADS", "2")
        .output()
        .unwrap();
    // The address belongs to no machine, so the error names the variable that was read.
    let message = stderr(&output);
    assert!(
        message.contains("203.0.113.1:1") && message.contains("THREADLAB_LISTEN"),
        "{message}"
    );
}

#[test]
fn health_returns_its_result_as_exit_status() {
    let server = Server::start("async", &[]);
    let url = |address: &str, path: &str| format!("http://{address}{path}");
    let healthy = threadlab(&["health", &url(&server.metrics, "/readyz")]);
    assert_eq!(healthy.status.code(), Some(0));
    for (bad, word) in [
        (url(&server.metrics, "/nowhere"), "404"),
        (url("127.0.0.1:1", "/"), "cannot reach"),
        ("https://127.0.0.1/".to_owned(), "http://"),
    ] {
        let output = threadlab(&["health", &bad]);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(word), "{bad}: {message}");
    }
}

#[test]
fn requests_beyond_the_limit_get_503_with_retry_after() {
    let server = Server::start("async", &["--max-in-flight", "2"]);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(get(&server.http, "/?seconds=1").status, 200));
        }
        wait_for_requests(&server.metrics, 2);
        let rejected = get(&server.http, "/dummy");
        assert_eq!(rejected.status, 503);
        assert_eq!(
            rejected.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(rejected.header("retry-after"), Some("1"));
        assert!(rejected.json()["detail"].as_str().unwrap().contains('2'));
    });
    assert_eq!(get(&server.http, "/dummy").status, 200);
}

#[test]
fn the_metrics_port_serves_the_thread_states() {
    let lab = Lab::start(&["--threads", "2"]);
    let threads = || get(&lab.metrics, "/threads").json();
    // The servers listen before the last of their threads has begun.
    let have_begun = |servers: &serde_json::Value| {
        let has_two_idle = |server: &serde_json::Value| {
            let threads = server["threads"].as_array().unwrap();
            threads.len() == 2 && threads.iter().all(|thread| thread["state"] == "idle")
        };
        servers.as_array().unwrap().iter().all(has_two_idle)
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while !have_begun(&threads()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let servers = threads();
    let names: Vec<_> = servers
        .as_array()
        .unwrap()
        .iter()
        .map(|server| &server["server"])
        .collect();
    assert_eq!(names, ["sync", "async"]);
    for server in servers.as_array().unwrap() {
        assert_eq!(server["threads"].as_array().unwrap().len(), 2);
        assert_eq!(server["threads"][1]["thread"], "1");
        assert_eq!(server["threads"][1]["state"], "idle");
        assert!(server["threads"][1]["seconds"]["idle"].as_f64().unwrap() > 0.0);
        assert!(server["accept_queue"]["limit"].as_u64().unwrap() > 0);
    }
    let one = get(&lab.metrics, "/threads?server=async").json();
    assert_eq!(one.as_array().unwrap().len(), 1);
    for (path, status) in [
        ("/threads?server=other", 404),
        ("/threads/stream?server=other", 404),
        ("/threads?server=sync&server=async", 400),
        ("/nowhere", 404),
    ] {
        let rejected = get(&lab.metrics, path);
        assert_eq!(rejected.status, status, "{path}");
        assert_eq!(
            rejected.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
    }
}

#[test]
fn server_timing_tells_blocking_from_awaiting() {
    let lab = Lab::start(&[]);
    for (server, waits) in [("sync", "block"), ("async", "await")] {
        let response = get(&lab.front, &format!("/{server}/?seconds=0.5"));
        let header = response.header("server-timing").unwrap();
        let milliseconds = |name: &str| -> f64 {
            let mut parts = header
                .split(", ")
                .filter_map(|part| part.split_once(";dur="));
            parts
                .find(|(found, _)| *found == name)
                .unwrap()
                .1
                .parse()
                .unwrap()
        };
        for name in ["queue", "run", "block", "await"] {
            // A busy machine may use up a part of the wait.
            let expected = match name {
                _ if name == waits => 250.0..2_000.0,
                "queue" => 0.0..2_000.0,
                _ => 0.0..250.0,
            };
            assert!(
                expected.contains(&milliseconds(name)),
                "{server} {name}: {header}"
            );
        }
        assert_eq!(response.headers.get_all("x-request-id").iter().count(), 1);
    }
}

/// A process that keeps a CPU busy, killed when dropped.
struct Spinner(std::process::Child);

impl Spinner {
    fn on_cpu(cpu: &str) -> Self {
        let command = ["-c", cpu, "sh", "-c", "while :; do :; done"];
        Self(Command::new("taskset").args(command).spawn().unwrap())
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two other processes use the server's only CPU, so that the request waits for it most of the time.
#[test]
fn the_parts_of_server_timing_sum_to_the_time() {
    for flavor in ["sync", "async"] {
        let server = Server::start(flavor, &[]);
        let pid = server.process.pid().to_string();
        let allowed = std::fs::read_to_string("/proc/self/status").unwrap();
        let list = allowed.split("Cpus_allowed_list:\t").nth(1).unwrap();
        let cpu = list.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        let pinned = Command::new("taskset")
            .args(["-acp", cpu, &pid])
            .output()
            .unwrap();
        assert!(pinned.status.success(), "{pinned:?}");
        let _spinners = [Spinner::on_cpu(cpu), Spinner::on_cpu(cpu)];
        let start = Instant::now();
        let response = get(&server.http, "/cpu?seconds=0.3");
        let took = start.elapsed().as_secs_f64() * 1_000.0;
        let header = response.header("server-timing").unwrap();
        let parts = header
            .split(", ")
            .filter_map(|part| part.split_once(";dur="));
        let parts: BTreeMap<&str, f64> = parts
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        assert!(
            parts["run"] > 250.0 && parts["runnable"] > 200.0,
            "{header}"
        );
        let sum: f64 = parts.values().sum();
        assert!(
            (0.8 * took..1.01 * took).contains(&sum),
            "{sum} of {took} ms: {header}"
        );
    }
}

#[test]
fn threads_have_the_names_used_in_metrics() {
    let lab = Lab::start(&["--threads", "2"]);
    let names = || -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", lab.process.pid())).unwrap();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        tasks
            .filter_map(|task| Some(name(task.ok()?).ok()?.trim().to_owned()))
            .collect()
    };
    let expected = [
        "sync-0", "sync-1", "async-0", "async-1", "front", "exporter",
    ];
    let all = || {
        expected
            .iter()
            .all(|name| names().iter().any(|found| found == name))
    };
    // A thread takes its name when it first runs.
    let deadline = Instant::now() + Duration::from_secs(5);
    while !all() {
        assert!(Instant::now() < deadline, "{expected:?} in {:?}", names());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_limits_of_the_servers_are_those_of_the_front() {
    let lab = Lab::start(&["--max-body-bytes", "2000000"]);
    let send = |path: &str, length: usize| {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("http://{}{path}", lab.front);
        let body = "x".repeat(length);
        agent.post(url).send(body).unwrap().status().as_u16()
    };
    for path in ["/sync/dummy", "/async/dummy"] {
        assert_ne!(send(path, 1_900_000), 413, "{path}");
        assert_eq!(send(path, 2_000_001), 413, "{path}");
    }
}
