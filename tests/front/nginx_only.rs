//! Features of nginx that the embedded front lacks: log, metrics, replicas.

use std::io::Read;
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::TIMEOUT;
use crate::backend::Backend;
use crate::client::{request, response_to};
use crate::failures::silent;
use crate::lab::{Behind, Front, Lab};
use crate::nginx::{self, SHIPPED};

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn the_shipped_configuration_is_accepted() {
    let output = nginx::check_shipped();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        !stderr.contains("[warn]") && !stderr.contains("[error]"),
        "{stderr}"
    );
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn each_request_is_logged_as_one_line_of_json() {
    let lab = Lab::start(
        Front::Nginx,
        Behind {
            asynchronous: Backend::dead(),
            ..Behind::echo()
        },
    );
    lab.echoed("GET /sync/dummy?a=%22b\nX-Request-ID: mine");
    lab.response_to("GET /async/").assert_problem(502);
    lab.response_to("GET /");
    let lines = log_of(&lab, 3);
    for line in &lines {
        for number in ["status", "bytes", "request_time"] {
            assert!(line[number].is_number(), "{number}: {line}");
        }
        for time in [
            "upstream_connect_time",
            "upstream_header_time",
            "upstream_response_time",
        ] {
            assert!(line[time].is_string(), "{time}: {line}");
        }
        assert_eq!(line["method"], "GET");
    }
    let of = |uri: &str| lines.iter().find(|line| line["uri"] == uri).unwrap();
    let forwarded = of("/sync/dummy?a=%22b");
    assert_eq!(forwarded["request_id"], "mine");
    assert_eq!(forwarded["status"], 200);
    let time = forwarded["upstream_header_time"].as_str().unwrap();
    assert!(time.parse::<f64>().is_ok(), "{time}");
    assert_eq!(of("/async/")["status"], 502);
    // Two attempts.
    assert_eq!(of("/async/")["upstream_header_time"], "- : -");
    assert_eq!(of("/")["upstream_addr"], "");
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn malformed_requests_are_logged_as_json() {
    let lab = Lab::echo(Front::Nginx);
    for sent in [
        "GET /sync/\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
        "GET /\"}\\ HTTP/1.1\r\nHost: x\r\nX-Request-ID: \"\\\r\n\r\n",
        "G\"E HTTP/7.7\r\n\r\n",
        "GET /sync/ HTTP/1.1\r\nHost: x\r\nno colon",
    ] {
        let mut client = lab.connect();
        client.send(sent);
        client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        client.stream.read_to_end(&mut Vec::new()).unwrap();
    }
    lab.response_to("GET /last");
    let lines = log_of(&lab, 5);
    assert!(
        lines.iter().all(|line| line["status"].is_number()),
        "{lines:?}"
    );
}

/// Returns the first lines of the access log once there are so many.
fn log_of(lab: &Lab, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let lines = lab.nginx().access_log();
        if lines.len() >= count {
            return lines
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
        }
        assert!(start.elapsed() < TIMEOUT, "{lines:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn the_page_gets_the_names_of_the_programs_that_run() {
    let watchers = vec![
        ("flask", Backend::echo()),
        ("fastapi", Backend::dead()),
        (
            "gunicorn",
            Backend::responding("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        ),
        ("gthread", silent().0),
    ];
    let lab = Lab::start(
        Front::Nginx,
        Behind {
            watchers,
            ..Behind::echo()
        },
    );
    let started = Instant::now();
    let response = lab.response_to("GET /live/servers.js");
    assert!(started.elapsed() < Duration::from_secs(4), "{started:?}");
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.text(),
        "export const NAMES = [\"sync\",\"async\",\"flask\"];\n"
    );
    for (field, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.header(field), Some(value), "{field}");
    }
    lab.response_to("POST /live/servers.js").assert_problem(405);
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn metrics_are_on_a_separate_port() {
    let lab = Lab::echo(Front::Nginx);
    let response = response_to(lab.nginx().status, "GET /nginx_status");
    assert!(
        response.text().starts_with("Active connections: "),
        "{response:?}"
    );
    assert_eq!(response_to(lab.nginx().status, "GET /").status(), 404);
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn the_version_of_nginx_is_hidden() {
    let lab = Lab::echo(Front::Nginx);
    for path in ["/", "/nowhere", "/sync/"] {
        assert_eq!(
            lab.response_to(&format!("GET {path}")).header("server"),
            Some("nginx")
        );
    }
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn a_request_that_reached_no_server_is_sent_again() {
    for full_replica in [0, 1] {
        let mut sync = vec![Backend::echo()];
        sync.insert(full_replica, Backend::full());
        let behind = Behind {
            sync,
            ..Behind::echo()
        };
        let timeout = Duration::from_millis(300);
        let lab = Lab::start(Front::Nginx, behind.with_connect_timeout(timeout));
        for _ in 0..4 {
            assert_eq!(lab.response_to("GET /sync/").status(), 200);
        }
        // Its body would be lost.
        let posted = [(); 4].map(|()| lab.response_to("POST /sync/").status());
        assert!(posted.contains(&504), "{posted:?}");
    }
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn a_slow_request_is_not_repeated_on_another_replica() {
    let ((one, taken_by_one), (other, taken_by_other)) = (silent(), silent());
    let behind = Behind {
        sync: vec![one, other],
        ..Behind::echo()
    };
    let timeout = Duration::from_millis(700);
    let lab = Lab::start(Front::Nginx, behind.with_upstream_timeout(timeout));
    lab.response_to("GET /sync/").assert_problem(504);
    thread::sleep(timeout * 2);
    let taken = [taken_by_one, taken_by_other].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(taken.iter().sum::<usize>(), 1, "{taken:?}");
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn a_dead_replica_is_skipped() {
    let behind = Behind {
        sync: vec![Backend::dead(), Backend::echo()],
        ..Behind::echo()
    };
    let lab = Lab::start(Front::Nginx, behind);
    for _ in 0..6 {
        lab.echoed("GET /sync/");
    }
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn a_request_goes_to_a_replica_that_is_free() {
    let (arrive, arrived) = mpsc::channel();
    // Each has one thread and serves one request at a time; `/` never gets a response.
    let replica = || {
        let arrive = Mutex::new(arrive.clone());
        Backend::start(move |mut connection| {
            let one_at_a_time = arrive.lock().unwrap();
            let request = connection.request().unwrap();
            one_at_a_time.send(()).unwrap();
            if request.start.starts_with("GET / ") {
                connection.is_closed();
            }
            connection.respond("ok");
        })
    };
    let sync = vec![replica(), replica(), replica()];
    let lab = Lab::start(
        Front::Nginx,
        Behind {
            sync,
            ..Behind::echo()
        },
    );
    let waiting = [(); 2].map(|()| {
        let mut client = lab.connect();
        client.send(request("GET /sync/"));
        arrived.recv_timeout(TIMEOUT).unwrap();
        client
    });
    for _ in 0..6 {
        assert_eq!(lab.response_to("GET /sync/dummy").text(), "ok");
        // nginx responds before it updates its count of connections, and the next request may reach
        // another worker.
        thread::sleep(Duration::from_millis(100));
    }
    drop(waiting);
}

#[test]
fn the_timeouts_are_long_enough_for_the_longest_wait() {
    let text = fs::read_to_string(format!("{SHIPPED}/timeouts.conf")).unwrap();
    for name in ["proxy_read_timeout", "proxy_send_timeout"] {
        let (_, rest) = text.split_once(&format!("\n{name} ")).unwrap();
        let (seconds, _) = rest.split_once("s;").unwrap();
        assert!(seconds.parse::<u32>().unwrap() >= 300, "{name} {seconds}");
    }
}

/// A thread of the synchronous server has to be free for the next request although this client does not
/// read. The response is larger than the kernel's buffers. This also holds for a request that is sent again because
/// the first replica could not be reached.
#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn a_client_that_does_not_read_does_not_hold_the_synchronous_server() {
    let (sender, sent) = mpsc::channel();
    let server = || {
        let sender = Mutex::new(sender.clone());
        Backend::start(move |mut connection| {
            connection.request().unwrap();
            connection.respond(&"x".repeat(40_000_000));
            sender.lock().unwrap().send(()).unwrap();
        })
    };
    // Of two requests, at least one begins at the replica that is full.
    for (sync, requests) in [(vec![server()], 1), (vec![Backend::full(), server()], 2)] {
        let behind = Behind {
            sync,
            ..Behind::echo()
        };
        let timeout = Duration::from_millis(300);
        let lab = Lab::start(Front::Nginx, behind.with_connect_timeout(timeout));
        for _ in 0..requests {
            let mut client = lab.connect();
            client.send(request("GET /sync/"));
            sent.recv_timeout(TIMEOUT).unwrap();
            assert_eq!(client.response().body.len(), 40_000_000);
        }
    }
}
